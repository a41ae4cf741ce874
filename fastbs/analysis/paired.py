"""Two settings compared seed by seed: what a seed does to both does not count."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fastbs.analysis.interval import Interval
from fastbs.analysis.student_t import mean_interval


def paired_difference(
    values: Mapping[int, float], base: Mapping[int, float], resolution: float, level: float = 0.95
) -> Interval | None:
    """Mean of value - base over the seeds that have both (keys are seeds); None when no seed has.

    `resolution` is the step in which the values are read, the smallest spread that is believed (see `mean_interval`).
    """
    return _mean([values[seed] - base[seed] for seed in sorted(values.keys() & base.keys())], resolution, level)


def paired_ratio(values: Mapping[int, float], base: Mapping[int, float], level: float = 0.95) -> Interval | None:
    """Geometric mean of value / base over the seeds that have both; None when no seed has. Values are above 0."""
    logs = _mean([math.log(values[seed] / base[seed]) for seed in sorted(values.keys() & base.keys())], level=level)
    return None if logs is None else logs.mapped(math.exp)


def _mean(values: list[float], resolution: float = 0.0, level: float = 0.95) -> Interval | None:
    return mean_interval(values, resolution, level) if values else None
