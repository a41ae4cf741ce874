"""The gradient noise scale of a sweep: for each batch size over its runs, and how it grows during training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from fastbs.analysis.arms import MAIN
from fastbs.analysis.noise_scale import noise_scale
from fastbs.results.record import NoiseDraw, RunRecord

STRETCHES = 3  # of a training, as long as each other in images


def noise_rows(runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """One row for each batch size whose main runs have draws.

    An estimate is images, interval [low, high or null], draws. There is one of the "whole" training, one of its "late"
    half, and "during" it one for each third of the images; null where nothing was drawn. Advice uses the late half:
    early weights say little about those that reach a target.
    """
    rows = []
    for size in sorted({run.batch_size for run in runs if run.arm == MAIN and run.noise}):
        own = [run for run in runs if run.arm == MAIN and run.batch_size == size and run.noise]
        thirds = [[draw for run in own for draw in _between(run, i / 3, (i + 1) / 3)] for i in range(STRETCHES)]
        rows.append(
            {
                "batch_size": size,
                "micro_batch": own[0].noise[0].micro_batch,
                "whole": _estimate([draw for run in own for draw in run.noise]),
                "late": _estimate([draw for run in own for draw in _between(run, 0.5, 1.0)]),
                "during": [_estimate(draws) for draws in thirds],
            }
        )
    return rows


def _between(run: RunRecord, begin: float, end: float) -> Iterable[NoiseDraw]:
    """Draws of the part of a run from `begin` to `end` of its images."""
    whole = max([draw.images for draw in run.noise] + [evaluation.images for evaluation in run.evaluations])
    return [draw for draw in run.noise if begin < draw.images / whole <= end]


def _estimate(draws: Sequence[NoiseDraw]) -> dict[str, Any] | None:
    if not draws:
        return None
    found = noise_scale(draws)
    return {
        "images": found.images if math.isfinite(found.images) else None,
        "interval": [found.low, None if found.lower_bound_only else found.high],
        "draws": found.draws,
    }
