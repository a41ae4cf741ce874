"""`pytest bench/` measures what `fastbs bench` measures, with the default plan; the verb brings a plan of its own."""

from __future__ import annotations

import pytest

from fastbs.bench.plan import BenchPlan
from fastbs.bench.session import PLUGIN, BenchSession


def pytest_configure(config: pytest.Config) -> None:
    if not config.pluginmanager.hasplugin(PLUGIN):
        config.pluginmanager.register(BenchSession(BenchPlan.everything()), PLUGIN)
