"""The same trainings compared at the same images, the same updates, the same seconds; and over a grid of targets."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbs.analysis.convergence import median_with_misses
from fastbs.analysis.evidence import Evidence
from fastbs.results.record import Evaluation

CUTS = ("images", "updates", "train_seconds")
STEP = 0.05  # between the targets of the grid, a fraction
MOST = 8  # targets


def accuracy_at_cuts(evidence: Evidence) -> list[dict[str, Any]]:
    """Mean top1 of each main size where all of them stood at equal images, updates and training seconds.

    Each cut is at the most that every run of every size has; between two evaluations top1 is read from a straight line,
    and it is null before the first one. Equal images (epochs) favour small batches, equal updates large ones; equal
    seconds are what a user waits. Runs that missed a target count too: the others alone would be the lucky ones. Empty
    with fewer than two sizes that have runs which trained to their end.
    """
    runs = {s.batch_size: [run.evaluations for run in evidence.trained(s)] for s in evidence.sizes}
    runs = {size: own for size, own in runs.items() if own}
    if len(runs) < 2:
        return []
    cuts = []
    for cut in CUTS:
        at = min(getattr(evaluations[-1], cut) for own in runs.values() for evaluations in own)
        means = {size: _mean([_top1_at(evaluations, cut, at) for evaluations in own]) for size, own in runs.items()}
        cuts.append({"cut": cut, "at": at, "batch_sizes": list(means), "top1": list(means.values())})
    return cuts


def times_over_targets(evidence: Evidence) -> list[dict[str, Any]]:
    """Median training seconds of each main size to a grid of targets, and which size is the fastest to each.

    The grid goes in steps of five points up to the best mean final top1 of a size, and no higher than a target that
    runs ended at: beyond it they were given no time. Misses count as longer than any time (null); a target that every
    size misses is left out.
    """
    finals = [statistics.fmean(run.last.top1 for run in runs) for s in evidence.sizes if (runs := evidence.trained(s))]
    highest = max(finals, default=0.0)
    if evidence.until_target and evidence.target is not None:
        highest = min(highest, evidence.target)
    last = math.floor(highest / STEP + 1e-9)
    grid = []
    for number in range(max(1, last - MOST + 1), last + 1):
        target = round(number * STEP, 2)
        seconds = {
            s.batch_size: median_with_misses(list(evidence.times_to_target(s, target).values())) for s in evidence.sizes
        }
        known = {size: time for size, time in seconds.items() if time is not None}
        if known:
            fastest = min(known, key=lambda size: known[size])
            grid.append({"target": target, "seconds": list(seconds.values()), "fastest": fastest})
    return grid


def _top1_at(evaluations: Sequence[Evaluation], cut: str, at: float) -> float | None:
    along = [getattr(evaluation, cut) for evaluation in evaluations]
    if at < along[0]:
        return None
    return float(np.interp(at, along, [evaluation.top1 for evaluation in evaluations]))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None
