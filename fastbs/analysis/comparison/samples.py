"""Two samples of one metric, compared: from processes where there are enough, else from what is known of noise."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from fastbs.analysis.comparison.estimate import FEW, Estimate, from_noise, from_pairs, rank_test, welch
from fastbs.analysis.comparison.metrics import Metric
from fastbs.analysis.comparison.options import Options
from fastbs.analysis.comparison.records import Key, Sample


def estimate_of(base: Sample, head: Sample, metric: Metric, key: Key, options: Options) -> Estimate | None:
    """None where nothing says how surely: one process of unknown spread a side, points of one process, or misses.

    Nor do points without any spread: fractions of few images are equal by luck. Ranks may still tell (`rank_p`).
    """
    before, after = scaled(base.values, metric), scaled(head.values, metric)
    if not before or not after or math.inf in (*before, *after):
        return None
    if options.paired:
        return from_pairs([b - a for a, b in zip(before, after, strict=True)]) if len(before) > 1 else None
    fewest = min(len(before), len(after))
    if metric.scale == "points":
        return None if fewest < 2 or _without_spread(base, head) else welch(before, after)
    known = options.calibration and options.calibration.noise_of(key, metric.name)
    if fewest >= FEW or (fewest > 1 and not known):
        return welch(before, after)
    within = tuple(sample.within if sample.processes == 1 else 0.0 for sample in (base, head))
    if within[0] is None or within[1] is None:
        return None
    noise, df = known or (options.noise, math.inf)
    source = "calibration" if known else "assumed"
    return from_noise(before, after, noise=noise, df=df, within=(within[0], within[1]), spread_from=source)


def rank_p(base: Sample, head: Sample) -> float | None:
    """Of what has no estimate: times of which some are infinite, or values of several processes without any spread."""
    if not base.values or not head.values:
        return None
    if math.inf in (*base.values, *head.values) or _without_spread(base, head):
        return rank_test(base.values, head.values)
    return None


def _without_spread(base: Sample, head: Sample) -> bool:
    return all(sample.processes > 1 and len(set(sample.values)) == 1 for sample in (base, head))


def same_measurement(base: Sample, head: Sample) -> bool:
    """Not merely equal: all that was recorded for them is."""
    return sorted(base.values) == sorted(head.values) and base.exact == head.exact


def centre(sample: Sample, metric: Metric) -> float | None:
    """Geometric mean (points: mean) over processes; the median of times with misses, None where that is one."""
    if not sample.values:
        return None
    if math.inf in sample.values:
        median = statistics.median(sample.values)
        return median if math.isfinite(median) else None
    values = scaled(sample.values, metric)
    mean = math.fsum(values) / len(values)
    return math.exp(mean) if metric.scale == "ratio" else mean


def scaled(values: Sequence[float], metric: Metric) -> list[float]:
    """Logarithms of a ratio metric, points as they are."""
    if metric.scale == "points":
        return list(values)
    return [math.log(value) if math.isfinite(value) else value for value in values]
