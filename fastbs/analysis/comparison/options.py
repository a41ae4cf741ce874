"""How two sides are compared."""

from __future__ import annotations

from dataclasses import dataclass

from fastbs.analysis.comparison.calibration import Calibration
from fastbs.analysis.comparison.metrics import Metric


@dataclass(frozen=True)
class Options:
    margin: float = 0.03  # changes within it, either way, are the same; a share
    points_margin: float = 0.005  # likewise of metrics in points
    alpha: float = 0.05  # probability of any false change among all rows
    noise: float = 0.05  # assumed of one process against another of the same code, sd of the log ratio
    calibration: Calibration | None = None  # measured instead
    allow: frozenset[str] = frozenset()  # differences between the sides that do not matter, by name
    metrics: tuple[str, ...] | None = None  # None: those of PRIMARY
    paired: bool = False  # values[i] of base and of head were measured together

    def margin_of(self, metric: Metric) -> float:
        """On the metric's own scale."""
        return self.margin if metric.scale == "ratio" else self.points_margin
