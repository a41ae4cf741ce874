"""`pytest bench/` measures what `fastbs bench` measures, with the default plan; the verb brings a plan of its own."""

from __future__ import annotations

from typing import Any

import pytest

from fastbs.bench.plan import BenchPlan
from fastbs.bench.session import PLUGIN, BenchSession


def pytest_configure(config: pytest.Config) -> None:
    if not config.pluginmanager.hasplugin(PLUGIN):
        config.pluginmanager.register(BenchSession(BenchPlan.everything()), PLUGIN)


@pytest.fixture(scope="session")
def rows(request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    """Every row by its cell's id: all that was selected is measured here, before the first test."""
    session = request.config.pluginmanager.get_plugin(PLUGIN)
    assert isinstance(session, BenchSession)  # registered above, or by the verb
    return session.measure(request.session.items)


@pytest.fixture
def row(request: pytest.FixtureRequest, rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return rows[request.param.id]
