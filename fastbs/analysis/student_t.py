"""Student's t: quantiles, tails, and the interval of a mean of few values; the tail of F."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable
from functools import cache

from fastbs.analysis.interval import Interval


def mean_interval(values: Iterable[float], resolution: float = 0.0, level: float = 0.95) -> Interval:
    """The mean of independent values with its t interval, 95 % unless `level` says otherwise; ValueError without any.

    `resolution` is the smallest standard deviation that is believed, in the unit of the values: values read on a scale
    that coarse may be equal by luck, which must not look like certainty.
    """
    sample = [float(value) for value in values]
    if not sample:
        raise ValueError("no values, so no mean")
    mean = math.fsum(sample) / len(sample)
    if len(sample) == 1:
        return Interval(-math.inf, mean, math.inf, 1)
    deviation = max(math.sqrt(math.fsum((value - mean) ** 2 for value in sample) / (len(sample) - 1)), resolution)
    half = t_quantile((1 + level) / 2, len(sample) - 1) * deviation / math.sqrt(len(sample))
    return Interval(mean - half, mean, mean + half, len(sample))


@cache
def t_quantile(p: float, df: float) -> float:
    """The value below which Student's t with `df` degrees of freedom lies with probability `p`, 0 < p < 1.

    Infinite `df` is the normal distribution. Bisection on the tail probability: exact to 1e-8, a millisecond, and no
    need of scipy.
    """
    if not 0 < p < 1 or not df > 0:
        raise ValueError(f"t quantile of p = {p}, df = {df}: needs 0 < p < 1 and df > 0")
    if df == math.inf:
        return statistics.NormalDist().inv_cdf(p)
    tail = 2 * min(p, 1 - p)
    low, high = 0.0, 1.0
    while t_tail(high, df) > tail:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if t_tail(middle, df) > tail else (low, middle)
    return math.copysign(low, p - 0.5)


def t_tail(t: float, df: float) -> float:
    """Probability of |T| > |t| with `df` degrees of freedom.

    The regularised incomplete beta function I_x(df/2, 1/2) at x = df/(df + t^2); infinite `df` is the normal one.
    """
    if df == math.inf:
        return math.erfc(abs(t) / math.sqrt(2))
    return _incomplete_beta(df / 2, 0.5, df / (df + t * t))


def f_tail(ratio: float, above: float, below: float) -> float:
    """Probability that F, the ratio of two variances with `above` and `below` degrees of freedom, exceeds `ratio`.

    The regularised incomplete beta function I_x(below/2, above/2) at x = below/(below + above ratio).
    """
    return _incomplete_beta(below / 2, above / 2, below / (below + above * ratio))


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """I_x(a, b), regularised."""
    if x in (0.0, 1.0):
        return x
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front / a * _continued_fraction(a, b, x)
    return 1 - front / b * _continued_fraction(b, a, 1 - x)


def _continued_fraction(a: float, b: float, x: float) -> float:
    """1/(1 + d1/(1 + d2/(1 + ...))) of the incomplete beta function (Abramowitz and Stegun 26.5.8), after Lentz."""
    value, c, d = 1.0, 1.0, 0.0
    for j in itertools.count(1):
        m, odd = divmod(j, 2)
        if odd:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / (1 + term * d)
        c = 1 + term / c
        value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return 1 / value
