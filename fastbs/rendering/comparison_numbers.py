"""Changes and values of a comparison as people read them: no digit that the interval does not carry."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastbs.analysis.comparison.metrics import METRICS
from fastbs.rendering.numbers import NOTHING, fraction, significant, size

Row = Mapping[str, Any]
OPEN = 100.0  # changes of 10,000 % and more: two processes leave a bound anywhere


def change_text(found: Row, metric: str) -> str:
    """The keys `change` and `interval`: "−6.1 % [−7.0, −5.2]"; "−0.9 points [−1.4, −0.4]" for a metric in points."""
    change, interval = found["change"], found["interval"]
    if change is None:
        return NOTHING
    decimals = _decimals(change, interval)
    text = f"{signed(100 * change, decimals)} {_unit(metric)}"
    if interval is None:
        return text
    low, high = ("open" if abs(end) >= OPEN else signed(100 * end, decimals) for end in interval)
    return f"{text} [{low}, {high}]"


def effect_text(effect: float | None, metric: str) -> str:
    """An effect's size, without a sign: "2.1 %"."""
    if effect is None:
        return NOTHING
    return f"{signed(100 * abs(effect), 1 if abs(effect) < 0.1 else 0).removeprefix('+')} {_unit(metric)}"


def signed(value: float, decimals: int) -> str:
    """-6.12 -> "−6.1"."""
    return minus(f"{value:+,.{decimals}f}")


def minus(text: str) -> str:
    """With a real minus sign in front of each negative number."""
    return re.sub(r"(?<![\w.\-])-(?=\d)", "−", text)


def value_text(value: float | None, metric: str) -> str:
    """A value with its unit: "1,234 images/s", "12.3 ms", ".948 top1", "2.0 GiB"."""
    if value is None:
        return NOTHING
    match metric:
        case "seconds":
            return _seconds(value)
        case "time_to_target_s":
            return f"{_seconds(value)} to target"
        case "memory_bytes":
            return size(value)
        case "top1":
            return f"{fraction(value)} top1"
    return f"{significant(value)} {METRICS[metric].label}"


def _unit(metric: str) -> str:
    return "points" if METRICS[metric].scale == "points" else "%"


def _decimals(change: float, interval: Sequence[float] | None) -> int:
    """By the half-width of the interval, in percent: none from 10 on, two below 0.1; by the change without one."""
    if interval is None:
        return 1 if abs(change) < 0.1 else 0
    half = 50 * (interval[1] - interval[0])
    return 0 if half >= 10 else 1 if half >= 0.1 or half == 0 else 2


def _seconds(value: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if value * factor >= 1:
            return f"{significant(value * factor)} {unit}"
    return f"{significant(value * 1e9)} ns"
