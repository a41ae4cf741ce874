"""What trainings of one batch size reached, and when."""

from __future__ import annotations

import statistics
from typing import Any

from fastbs.analysis.convergence import median_with_misses
from fastbs.analysis.measured_cell import MeasuredCell, bounds
from fastbs.analysis.student_t import mean_interval


def accuracy(cell: MeasuredCell) -> dict[str, Any]:
    """Mean top1 (a fraction) with its 95 % interval over processes, each a seed; training times in seconds.

    "time_to_target_s" is the median over processes, where one that missed the target or diverged counts as longer than
    any; those that never trained to an end (failed, out of memory) say nothing about it.
    """
    samples = cell.samples.values()
    reached = [sample["time_to_target_seconds"] for sample in samples]
    missed = [None for outcome in cell.outcomes if outcome["status"] in ("missed", "diverged")]
    top1 = mean_interval(sample["top1"] for sample in samples) if samples else None
    return {
        "target": cell.first("target"),
        "top1": top1.estimate if top1 else None,
        "top1_interval": bounds(top1),
        "top1_by_process": [sample["top1"] for sample in samples],
        "time_to_target_s": median_with_misses(reached + missed),
        "seconds_to_target": reached + missed,
        "targets_reached": sum(time is not None for time in reached),
        "train_seconds": statistics.fmean(sample["train_seconds"] for sample in samples) if samples else None,
    }
