"""Runs as processes of this machine: one after another, or one per GPU."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from fastbs import worker
from fastbs.config import SweepConfig
from fastbs.errors import BadInput
from fastbs.results.sweep_folder import SweepFolder
from fastbs.sweeps.execute import Execution, Task, begin
from fastbs.sweeps.plan import PlannedRun
from fastbs.worker.cores import require_cores

VISIBLE = "CUDA_VISIBLE_DEVICES"
TIMED_SEED = 0  # of several workers: its runs have the machine to themselves, one at a time


class Local:
    """`workers` runs at a time; None: one per visible GPU, or one where the sweep is about time or has no GPU.

    Accuracy bears company, times do not: with several workers the runs of the first seed are made one at a time, and
    those of the other seeds, side by side, give no times.
    """

    def __init__(self, workers: int | None = None) -> None:
        self._workers = workers
        self._lanes: list[dict[str, str | None]] = [{}]  # environment of what runs in each

    def call(self, folder: SweepFolder, target: str, arguments: dict[str, Any]) -> worker.Outcome:
        return worker.call(target, arguments)

    def prepare(self, config: SweepConfig, machine: dict[str, Any]) -> str:
        cards = visible_cards(machine) if config.run.device == "cuda" else []
        usual = 1 if config.run.until_target or config.run.seconds is not None else max(1, len(cards))
        workers = self._workers or usual
        if workers == 1:
            self._lanes = [{}]
            return ""
        refuse_timed(config, f"workers: {workers} at a time", "use --workers 1")
        if cards and workers > len(cards):
            raise BadInput(f"workers: {workers} runs at a time need a GPU each, and {len(cards)} are visible")
        if not cards:
            require_cores("workers", workers)
        self._lanes = [{VISIBLE: card} for card in cards[:workers]] or [{} for _ in range(workers)]
        return f"{workers} runs at a time; those of seed {TIMED_SEED}, which give the times, have the machine alone"

    def has_room(self, under_way: Sequence[PlannedRun], run: PlannedRun) -> bool:
        beside = len(under_way) < len(self._lanes) and all(map(self.shares, [*under_way, run]))
        return not under_way or beside

    def shares(self, run: PlannedRun) -> bool:
        return len(self._lanes) > 1 and run.config.seed != TIMED_SEED

    def begin(self, folder: SweepFolder, task: Task, lane: int) -> Execution:
        return begin(task, env=self._lanes[lane])


def visible_cards(machine: dict[str, Any]) -> list[str]:
    """What CUDA_VISIBLE_DEVICES calls each GPU that torch can use here."""
    count = len(machine["gpu"]["devices"])
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return named[:count] or [str(index) for index in range(count)]


def refuse_timed(config: SweepConfig, where: str, way_out: str) -> None:
    """BadInput for what cannot be decided by runs that share their node, because times decide it."""
    by_time = "stop-dominated" if config.stop_dominated else "seconds" if config.run.seconds is not None else None
    if by_time:
        raise BadInput(
            f"{where}: times decide in a sweep with --{by_time}, and runs that share a node have none; {way_out}"
        )
