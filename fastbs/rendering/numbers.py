"""Numbers as people read them: no more digits than there is evidence for."""

from __future__ import annotations

import math
from collections.abc import Sequence

NOTHING = "-"


def count(value: float | None) -> str:
    """13480 -> "13,480"."""
    return NOTHING if value is None else f"{value:,.0f}"


def significant(value: float | None, digits: int = 3) -> str:
    """Three digits that count: 0.1234 -> "0.123", 12.34 -> "12.3", 1234 -> "1,234"."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def with_interval(value: float | None, interval: Sequence[float] | None) -> str:
    """1.604, [1.583, 1.625] -> "1.60 [1.58, 1.62]": decimals as the width deserves, the last worth a quarter of it.

    The largest of the three numbers has at least two digits that count, the value at most four, and what is above zero
    is not shown as zero. Without an interval the value stands alone.
    """
    if value is None:
        return NOTHING
    if interval is None:
        return significant(value)
    low, high = interval
    deserved = -math.floor(math.log10((high - low) / 4)) if high > low else 4
    decimals = max(0, 1 - _exponent(max(abs(low), abs(high))), min(deserved, 3 - _exponent(value)))
    first, *ends = (
        f"{number:,.{max(decimals, -_exponent(number) if low >= 0 else 0)}f}" for number in (value, low, high)
    )
    return f"{first} [{', '.join(ends)}]"


def fraction(value: float | None, spread: float | None = None) -> str:
    """A top1: 0.948, 0.006 -> ".948 ±.006"."""
    if value is None:
        return NOTHING
    text = f"{value:.3f}".removeprefix("0")
    return text if spread is None else f"{text} ±{spread:.3f}".replace("±0.", "±.")


def percent(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:.0f} %"


def size(value: float | None) -> str:
    """Bytes in the largest binary unit that leaves at least one whole: 2147483648 -> "2.0 GiB"."""
    if value is None:
        return NOTHING
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def _exponent(value: float) -> int:
    """Of ten, where the first digit of `value` stands; 0 for 0."""
    return math.floor(math.log10(abs(value))) if value else 0
