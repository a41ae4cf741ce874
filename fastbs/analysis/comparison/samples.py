"""Two samples of one metric, compared: from processes where there are enough, else from what is known of noise."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from fastbs.analysis.comparison.estimate import FEW, Estimate, from_noise, from_pairs, rank_test, welch, with_session
from fastbs.analysis.comparison.metrics import Metric
from fastbs.analysis.comparison.moderation import Moderation
from fastbs.analysis.comparison.options import Options
from fastbs.analysis.comparison.records import Key, Sample
from fastbs.analysis.comparison.units import Units, scaled

ROWS_OF_TWO = 8  # with fewer, two processes a side that agree by luck cannot be told from quiet ones
LEAST_SHARE = 0.5  # of the variance of the typical row, which a row's counts for at least


def estimate_of(
    base: Sample,
    head: Sample,
    units: Units | None,
    rows: Moderation | None,
    metric: Metric,
    key: Key,
    options: Options,
) -> Estimate | None:
    """None where nothing measured says how surely: one process a side without a calibration, or misses.

    Nor do points without any spread: fractions of few images are equal by luck. Ranks may still tell (`rank_p`).
    `rows` is what all rows of the metric say of their spread.
    """
    if units is None:
        return None
    if units.source == "pairs":
        return from_pairs(units.differences) if units.fewest > 1 else None
    noise, df = session_noise(key, metric, options)
    known = _calibrated(units, metric, key, options)
    if known:
        estimate = _from_calibration(base, head, known, metric)
    elif not _told(base, head, units, rows, metric):
        return None
    else:
        assert rows is not None
        estimate = _from_spread(units, rows, options.alpha, noise)
    if estimate is None or estimate.spread_from == "sessions":
        return estimate
    return with_session(estimate, noise * math.sqrt(units.luck / 2), df)


def session_noise(key: Key, metric: Metric, options: Options) -> tuple[float, float]:
    """Standard deviation of the log ratio of two sessions and its degrees of freedom: calibrated, or else assumed."""
    known = options.calibration and options.calibration.session_noise_of(key, metric.name)
    return known or (options.noise, math.inf)


def _calibrated(units: Units, metric: Metric, key: Key, options: Options) -> tuple[float, float] | None:
    """The calibrated noise, where the units are too few to speak for themselves and it knows what they are."""
    if options.calibration is None or metric.scale != "ratio" or units.fewest >= FEW:
        return None
    if units.source == "sessions" and options.calibration.session_noise_of(key, metric.name) is None:
        return None
    return options.calibration.noise_of(key, metric.name)


def _told(base: Sample, head: Sample, units: Units, rows: Moderation | None, metric: Metric) -> bool:
    """Whether the values say anything of their own spread that can be believed."""
    if units.fewest < 2 or rows is None:
        return False
    if metric.scale == "points":
        return units.resolution > 0 or not _without_spread(base, head)
    return units.fewest > 2 or units.source == "sessions" or rows.rows >= ROWS_OF_TWO


def _from_calibration(base: Sample, head: Sample, known: tuple[float, float], metric: Metric) -> Estimate | None:
    within = tuple(sample.within if sample.processes == 1 else 0.0 for sample in (base, head))
    if within[0] is None or within[1] is None:
        return None
    return from_noise(
        scaled(base.values, metric),
        scaled(head.values, metric),
        noise=known[0],
        df=known[1],
        within=(within[0], within[1]),
        spread_from="calibration",
    )


def _from_spread(units: Units, rows: Moderation, alpha: float, session_noise: float) -> Estimate:
    """From the spread of the row, moderated by the others.

    Values that fall into one of two modes as coins do are all alike on both sides, and apart, in one row of
    2^(total - 1). Where so many rows are compared that this happens, a row's variance counts for at least a share of
    the typical row's; with fewer than five values for all of it.
    """
    spread, few = units.spread, units.fewest < FEW
    own_df = units.fewest - 1.0 if few or units.differences else welch(units.base, units.head).df
    variance, df = rows.moderated(spread, own_df)
    if few or rows.rows * 2.0 ** (1 - units.total) > alpha / 2:
        variance = max(variance, rows.typical * (1.0 if few else LEAST_SHARE))
    if units.source == "sessions" and units.fewest == 2:
        variance = max(variance, session_noise**2 / 2)
    return Estimate(units.change, math.sqrt(variance * units.share), df, units.source)


def moderation_of(units: Sequence[Units]) -> Moderation | None:
    """Of rows of one metric; None where none has two values a side."""
    several = [each.spread for each in units if each.fewest > 1]
    return Moderation.of(several) if several else None


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
