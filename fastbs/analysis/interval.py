"""An estimate and the range that its evidence leaves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A 95 % interval from `n` independent values. One value leaves everything open: -inf to inf."""

    low: float
    estimate: float
    high: float
    n: int

    @property
    def bounded(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)

    def bounds(self) -> list[float] | None:
        """[low, high] for JSON; None where nothing bounds the estimate."""
        return [self.low, self.high] if self.bounded else None

    def touches(self, low: float, high: float) -> bool:
        """True when some value lies both here and in [low, high]."""
        return self.low <= high and low <= self.high

    def within(self, low: float, high: float) -> bool:
        return low <= self.low and self.high <= high

    def mapped(self, function: Callable[[float], float]) -> Interval:
        """The interval of function(value), for a function that only rises or only falls."""
        if not self.bounded:
            return Interval(-math.inf, function(self.estimate), math.inf, self.n)
        low, high = sorted((function(self.low), function(self.high)))
        return Interval(low, function(self.estimate), high, self.n)
