"""The pytest session that measures: rows are made in fresh processes first, then replayed test by test."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from functools import cached_property
from typing import Any, NoReturn

import pytest

from fastbs.bench.cells import Cell, make_cells
from fastbs.bench.measure import measure
from fastbs.bench.plan import BenchPlan
from fastbs.bench.replay import CLOCK, replay
from fastbs.bench.setting import Setting, open_setting
from fastbs.errors import BadInput

PLUGIN = "fastbs-bench"


class BenchSession:
    """A pytest plugin: each test of a bench module is one row of `plan`; `document` holds all that was measured."""

    def __init__(self, plan: BenchPlan) -> None:
        self.plan = plan
        self.document: dict[str, Any] | None = None
        self.bad_input: BadInput | None = None
        self._stack = ExitStack()

    @cached_property
    def setting(self) -> Setting:
        return self._stack.enter_context(open_setting(self.plan))

    @cached_property
    def cells(self) -> dict[str, list[Cell]]:
        return make_cells(self.plan, self.setting)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "row" not in metafunc.fixturenames:
            return
        try:
            cells = self.cells.get(metafunc.module.QUESTION, [])
        except BadInput as error:
            self._refuse(error)
        metafunc.parametrize("row", cells, ids=[cell.id for cell in cells], indirect=True)

    def measure(self, items: Iterable[pytest.Item]) -> dict[str, dict[str, Any]]:
        """Every row by its cell's id; measures the cells of these tests, interleaved."""
        calls = [getattr(item, "callspec", None) for item in items]
        cells: list[Cell] = [call.params["row"] for call in calls if call is not None and "row" in call.params]
        try:
            self.document = measure(cells, self.plan, self.setting)
        except BadInput as error:
            self._refuse(error)
        return dict(zip([cell.id for cell in cells], self.document["rows"], strict=True))

    def _refuse(self, error: BadInput) -> NoReturn:
        self.bad_input = error
        pytest.exit(f"fastbs: {error}", returncode=2)

    def pytest_benchmark_update_machine_info(self, machine_info: dict[str, Any]) -> None:
        machine_info["fastbs"] = self.setting.machine

    def pytest_benchmark_update_json(self, output_json: dict[str, Any]) -> None:
        output_json["fastbs"] = self.document

    def pytest_unconfigure(self) -> None:
        self._stack.close()


def check_row(row: dict[str, Any], benchmark: Any) -> None:
    """The test of a row: replay what it measured.

    A row that ran out of memory, cannot exist or missed its target is skipped with its reason: that is a result. One
    that failed fails.
    """
    if row["status"] == "failed":
        pytest.fail(row["reason"], pytrace=False)
    if row["status"] != "ok":
        pytest.skip(f"{row['status']}: {row['reason']}")
    rounds = replayed_rounds(row)
    if None in rounds:
        pytest.skip(f"missed: {rounds.count(None)} of {len(rounds)} did not reach the target")
    benchmark.group = row["question"]
    benchmark.extra_info.update(row)
    replay(benchmark, rounds)


def replayed_rounds(row: dict[str, Any]) -> list[Any]:
    """Seconds per image of every block of every process, so that pytest-benchmark's order is that of images/s.

    Rows without a batch size: seconds per update. Rows of question accuracy: seconds to the target, None for a miss.
    """
    if row["question"] == "accuracy":
        return list(row["seconds_to_target"])
    size = row.get("batch_size") or 1
    return [seconds / size for process in row["block_seconds"] for seconds in process]


replayed = pytest.mark.benchmark(timer=CLOCK, min_rounds=1, warmup=False, disable_gc=False)
