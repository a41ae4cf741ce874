"""Run a plan under pytest-benchmark, and write its file whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import fastbs.bench
from fastbs.bench.plan import BenchPlan
from fastbs.bench.session import PLUGIN, BenchSession
from fastbs.errors import BadInput
from fastbs.results.files import read_plain_json, require_writable, write_json

HERE = Path(fastbs.bench.__file__).parent
MODULES = {
    "throughput": "bench_throughput.py",
    "data": "bench_data.py",
    "update": "bench_weight_update.py",
    "inference": "bench_inference.py",
    "accuracy": "bench_accuracy.py",
    "step": "bench_step.py",
}


class NothingMatched(Exception):
    """pytest's arguments deselected every row."""


def run_bench(plan: BenchPlan, file: Path | None = None, pytest_args: Sequence[str] = ()) -> dict[str, Any]:
    """Measure `plan`; returns the pytest-benchmark document, which also replaces `file`.

    Its key "fastbs" holds every row, those that are not ok included. pytest's own words go to stderr. BadInput for
    what the user must mend; NothingMatched; KeyboardInterrupt; RuntimeError when pytest itself broke.
    """
    if file is not None:
        require_writable(file)
    session = BenchSession(plan)
    with tempfile.TemporaryDirectory() as scratch:
        measured = Path(scratch) / "bench.json"
        storage = [] if pytest_args else [f"--benchmark-storage={scratch}"]  # or .benchmarks appears where we stand
        arguments = [*_arguments(plan), *storage, *pytest_args, f"--benchmark-json={measured}"]
        code = _pytest(session, arguments, shown=bool(pytest_args))
        if session.bad_input is not None:
            raise session.bad_input
        if code == pytest.ExitCode.INTERRUPTED:
            raise KeyboardInterrupt
        if code == pytest.ExitCode.USAGE_ERROR:
            raise BadInput(f"pytest refuses {' '.join(pytest_args)}; it says why above")
        if code == pytest.ExitCode.NO_TESTS_COLLECTED:
            raise NothingMatched
        if session.document is None and code == pytest.ExitCode.OK:
            raise BadInput(f"pytest measured nothing with {' '.join(pytest_args)}; leave that away")
        if session.document is None:
            raise RuntimeError(f"pytest ended with code {int(code)} before anything was measured")
        written = measured.exists() and measured.stat().st_size > 0  # not when no row is ok
        document = read_plain_json(measured) if written else {"benchmarks": []}
    document["fastbs"] = session.document
    if file is not None:
        write_json(file, document)
    return document


def _arguments(plan: BenchPlan) -> list[str]:
    """Explicit files and our own configuration: nothing of the current directory or the user's pytest takes part."""
    return [
        *(str(HERE / MODULES[question]) for question in plan.questions),
        f"--config-file={os.devnull}",
        f"--rootdir={HERE.parent}",
        "--import-mode=importlib",
        "--capture=no",
        "--tb=no",
        "--no-header",
        "--no-summary",
        "-q",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "pytest_benchmark.plugin",
        "--benchmark-quiet",
    ]


def _pytest(session: BenchSession, arguments: list[str], *, shown: bool) -> int | pytest.ExitCode:
    """pytest's own words are shown where it was given arguments: on stderr, for stdout is the table's."""
    with (
        _without_other_plugins(),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(sys.stderr if shown else io.StringIO()),
    ):
        warnings.filterwarnings("ignore", message="Not saving anything")  # when no row is ok: `run_bench` writes
        return pytest.main(arguments, plugins=[_Named(session)])


class _Named:
    """Registers the session under the name that conftest.py looks for."""

    def __init__(self, session: BenchSession) -> None:
        self._session = session

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        config.pluginmanager.register(self._session, PLUGIN)


@contextlib.contextmanager
def _without_other_plugins() -> Iterator[None]:
    """pytest-xdist would switch pytest-benchmark off, and others change what is collected."""
    names = ("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_ADDOPTS", "PYTEST_PLUGINS")
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
