"""Whether the fastest measured size is proven to be the fastest, or shares its place."""

from __future__ import annotations

import math
import statistics
from typing import Any

from fastbs.analysis.advice.material import Material, SizeFacts
from fastbs.analysis.censored import runs_needed
from fastbs.analysis.interval import Interval
from fastbs.analysis.paired import paired_ratio


def fastest_measured(material: Material) -> dict[str, Any] | None:
    """The reliable size with the least seconds, and the others against it; None without one.

    "proven": its time is below that of every other with the whole paired interval. "ties": the others of which that
    cannot be said. "runner_up" has the next least seconds, with "ratio" (interval) to it, and "more_runs" a size to
    tell these two apart in 80 % of cases; null where they differ enough already, or one seed gives no spread.
    """
    known = sorted((s for s in material.sizes if s.reliable and s.seconds), key=lambda s: (s.seconds, s.batch_size))
    if not known:
        return None
    first, *others = known
    ratios = {other.batch_size: _ratio(other, first) for other in others}
    ties = [size for size, ratio in ratios.items() if ratio is None or not (ratio.bounded and ratio.low > 1)]
    second = others[0] if others else None
    return {
        "batch_size": first.batch_size,
        "proven": bool(others) and not ties,
        "ties": sorted(ties),
        "runner_up": second and second.batch_size,
        "ratio": second and (second.seconds or 0) / (first.seconds or 1),
        "ratio_interval": (ratio := ratios[second.batch_size]) and ratio.bounds() if second else None,
        "more_runs": _more_runs(first, second) if second and second.batch_size in ties else None,
    }


def _ratio(size: SizeFacts, base: SizeFacts) -> Interval | None:
    """Paired by seed; None where a run of either missed."""
    if not (size.all_reached and base.all_reached):
        return None
    return paired_ratio(size.seconds_by_seed, base.seconds_by_seed)


def _more_runs(first: SizeFacts, second: SizeFacts) -> int | None:
    spreads = [
        statistics.variance(map(math.log, size.seconds_by_seed.values()))
        for size in (first, second)
        if len(size.seconds_by_seed) > 1
    ]
    difference = (second.seconds or 0) / (first.seconds or 1) - 1
    if not spreads or difference <= 0:
        return None
    needed = runs_needed(math.sqrt(statistics.fmean(spreads)), difference)
    return max(1, needed - min(first.times.n, second.times.n))
