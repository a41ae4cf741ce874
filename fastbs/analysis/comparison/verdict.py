"""From an estimate to a word: slower, faster, the same, or cannot tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fastbs.analysis.comparison.estimate import Estimate
from fastbs.analysis.comparison.metrics import Metric

SAME, CANNOT_TELL = "same", "cannot tell"
SUSPECT = 3.0  # margins: a smaller change may come from another driver or library just as well
OPEN = math.log(1e6)
TIMED = ("images_per_second", "seconds", "update_us")


@dataclass(frozen=True)
class Verdict:
    word: str
    notes: list[str] = field(default_factory=list)


def is_same(estimate: Estimate, alpha: float, metric: Metric, margin: float) -> bool:
    """Surely within `margin`, a share or points: its whole interval is, at `alpha` and not at the level of many rows.

    That level guards against false changes; a row that is called the same falsely is one at most in 1 / `alpha`.
    """
    low, high = estimate.interval(alpha)
    widest = _on_scale(margin, metric)
    return -widest <= low and high <= widest


def verdict_of(estimate: Estimate, level: float, metric: Metric) -> str:
    """Changed: surely not zero, at `level`. Else one cannot tell."""
    low, high = estimate.interval(level)
    return changed(estimate.change, metric) if low > 0 or high < 0 else CANNOT_TELL


def changed(change: float, metric: Metric) -> str:
    return metric.better if (change > 0) == metric.higher_is_better else metric.worse


def doubted(
    word: str,
    estimate: Estimate,
    level: float,
    metric: Metric,
    *,
    margin: float,
    clocks: tuple[float, float] | None,
    flags: Sequence[dict[str, Any]],
) -> Verdict:
    """The verdict, taken back where something else explains the change as well: the clock, or another version."""
    if word in (SAME, CANNOT_TELL):
        return Verdict(word)
    notes = []
    if clocks is not None and metric.name in TIMED:
        faster_clock = math.log(clocks[1] / clocks[0]) * (1 if metric.higher_is_better else -1)
        low, high = (bound - faster_clock for bound in estimate.interval(level))
        if low <= 0 <= high:
            notes.append(f"{word} by clock only")
    if abs(estimate.change) < _on_scale(SUSPECT * margin, metric):
        notes += [f"{flag['name']} {flag['base']} -> {flag['head']} could explain it" for flag in flags]
    return Verdict(CANNOT_TELL if notes else word, notes)


def _on_scale(margin: float, metric: Metric) -> float:
    """As far as the logarithm of 1 + margin either way, so that base and head can change places."""
    return math.log1p(margin) if metric.scale == "ratio" else margin


def as_change(value: float, metric: Metric) -> float:
    """From the scale of an estimate to head / base - 1, or points as they are.

    Two processes may leave a bound open by more than numbers can hold: it is cut at a factor of a million.
    """
    return math.expm1(min(value, OPEN)) if metric.scale == "ratio" else value
