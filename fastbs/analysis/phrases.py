"""Numbers inside sentences: with their interval, and no more digits than a reader can use."""

from __future__ import annotations

from collections.abc import Sequence

from fastbs.analysis.interval import Interval


def percent(share: float) -> str:
    """0.384 -> "38 %"."""
    return f"{_signless_zero(100 * share, 0)} %"


def percent_interval(share: Interval) -> str:
    """Interval(0.37, 0.384, 0.391, 5) -> "38 % [37, 39]"; a narrow one gets a decimal; without bounds "38 %".

    Two seeds can leave a saving open to -839,308 %: bounds beyond 999 are said to be that, "[< -999, 100]".
    """
    if not share.bounded:
        return percent(share.estimate)
    decimals = 0 if share.high - share.low >= 0.01 else 1

    def bound(value: float) -> str:
        beyond = abs(value) >= 10
        return ("> 999" if value > 0 else "< -999") if beyond else _signless_zero(100 * value, decimals)

    return f"{_signless_zero(100 * share.estimate, decimals)} % [{bound(share.low)}, {bound(share.high)}]"


def points(fraction: float) -> str:
    """Differences of accuracy: -0.052 -> "-5.2"."""
    return _signless_zero(100 * fraction, 1, plus=True)


def points_interval(fraction: Interval) -> str:
    """Interval(-0.06, -0.052, -0.044, 5) -> "-5.2 [-6.0, -4.4]"; without bounds "-5.2"."""
    bounds = f" [{points(fraction.low)}, {points(fraction.high)}]" if fraction.bounded else ""
    return points(fraction.estimate) + bounds


def margin_points(fraction: float) -> str:
    """0.01 -> "1 point", 0.005 -> "0.5 points"."""
    number = f"{100 * fraction:.3g}"
    return f"{number} point{'' if number == '1' else 's'}"


def top1(fraction: float) -> str:
    """0.947 -> ".947", 0.8 -> ".80"."""
    return f"{fraction:.3f}".removeprefix("0").removesuffix("0")


def duration(seconds: float) -> str:
    """26820 -> "7 h 27", 1620 -> "27 min", 32 -> "32 s"."""
    if seconds < 99.5:
        return f"{seconds:.2g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60:02d}"


def clock(seconds: float) -> str:
    """26340 -> "7:19", hours and minutes; from 1,000 hours on "> 999 h"."""
    minutes = round(seconds / 60)
    if minutes >= 60_000:
        return "> 999 h"
    return f"{minutes // 60}:{minutes % 60:02d}"


def duration_interval(seconds: Interval) -> str:
    """Interval of seconds -> "7 h 27 [7:19, 7:34]"; without bounds "7 h 27"."""
    return duration(seconds.estimate) + (f" [{clock(seconds.low)}, {clock(seconds.high)}]" if seconds.bounded else "")


def listed(items: Sequence[object]) -> str:
    """[4, 8, 32] -> "4, 8 and 32"."""
    *head, last = map(str, items)
    return f"{', '.join(head)} and {last}" if head else last


def seeds(count: int) -> str:
    return f"{count} seed" if count == 1 else f"{count} seeds"


def _signless_zero(value: float, decimals: int, *, plus: bool = False) -> str:
    """Rounded, never "-0": a value that rounds to zero has no sign ("+0.0" with `plus`)."""
    rounded = round(value, decimals) + 0.0
    return f"{rounded:+.{decimals}f}" if plus else f"{rounded:.{decimals}f}"
