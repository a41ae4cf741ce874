"""How the batch sizes of a sweep to a target stand so far."""

from __future__ import annotations

from fastbs.analysis.arms import MAIN
from fastbs.analysis.dominated import Race
from fastbs.analysis.hit import find_hit
from fastbs.results.record import RunRecord
from fastbs.results.sweep_folder import SweepFolder

TRAINED = ("ok", "missed", "diverged", "stopped")


def standing_of(folder: SweepFolder, target: float, hold: int) -> Race:
    """The race of the main runs in `folder` that have trained; those left out before they began say nothing."""
    seconds: dict[int, list[float | None]] = {}
    for run in folder.records():
        if run.arm == MAIN and run.status in TRAINED and run.evaluations:
            seconds.setdefault(run.batch_size, []).append(_seconds(run, target, hold))
    return Race(seconds)


def _seconds(run: RunRecord, target: float, hold: int) -> float | None:
    hit = find_hit(run.evaluations, target, hold) if run.status == "ok" else None
    return hit.train_seconds if hit else None
