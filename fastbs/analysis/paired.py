"""Two settings compared seed by seed: what a seed does to both does not count."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fastbs.analysis.interval import Interval
from fastbs.analysis.student_t import mean_interval


def paired_ratio(values: Mapping[int, float], base: Mapping[int, float], level: float = 0.95) -> Interval | None:
    """Geometric mean of value / base over the seeds that have both; None when no seed has. Values are above 0."""
    logs = [math.log(values[seed] / base[seed]) for seed in sorted(values.keys() & base.keys())]
    return mean_interval(logs, level=level).mapped(math.exp) if logs else None
