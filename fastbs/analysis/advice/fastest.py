"""Whether the fastest measured size is proven to be the fastest, or shares its place."""

from __future__ import annotations

import math
import statistics
from typing import Any

from fastbs.analysis.advice.material import Material, SizeFacts
from fastbs.analysis.censored import runs_needed
from fastbs.analysis.interval import Interval
from fastbs.analysis.paired import paired_ratio
from fastbs.analysis.student_t import t_quantile

NEARLY = 0.8  # confidence with which a difference must be told from none before seeds are counted
MOST = 10  # times the seeds there are: more is not worth a word


def fastest_measured(material: Material) -> dict[str, Any] | None:
    """The reliable size with the least seconds, and the others against it; None without one.

    "proven": its time is below that of every other with the whole paired interval. "ties": the others of which that
    cannot be said. "runner_up" has the next least seconds, with "ratio" (interval) to it, and "more_runs" [from, to] a
    size to tell these two apart in 80 % of cases; null where they differ enough already, or a difference is so open
    that nobody knows how many.
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


def _more_runs(first: SizeFacts, second: SizeFacts) -> list[int] | None:
    """Seeds a size that would tell two sizes apart in 80 % of cases, at the ends of an 80 % interval of the difference.

    None where that interval reaches 0, so that no number would be enough, or where its far end is no use to anybody.
    """
    seeds = sorted(first.seconds_by_seed.keys() & second.seconds_by_seed.keys())
    if len(seeds) < 3 or not (first.all_reached and second.all_reached):
        return None
    logs = [math.log(second.seconds_by_seed[seed] / first.seconds_by_seed[seed]) for seed in seeds]
    mean, spread = statistics.fmean(logs), statistics.stdev(logs)
    half = t_quantile((1 + NEARLY) / 2, len(logs) - 1) * spread / math.sqrt(len(logs))
    if mean - half <= 0:
        return None
    needed = [runs_needed(spread / math.sqrt(2), math.expm1(difference)) for difference in (mean + half, mean - half)]
    low, high = (max(1, runs - len(seeds)) for runs in needed)
    return [low, high] if high <= MOST * len(seeds) else None
