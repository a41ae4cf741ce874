"""The scatter of one run, judged from all settings of a sweep: two or three seeds of two settings hardly know it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fastbs.analysis.gamma_functions import digamma, trigamma, trigamma_inverse
from fastbs.analysis.interval import Interval
from fastbs.analysis.student_t import f_tail, t_quantile

BELIEVED = 0.75  # of the degrees of freedom that other settings lend: real spreads differ by more than the law allows
NOISIER = 0.1  # level of the test by which two settings are too noisy to borrow from the others
FEWEST = 3  # settings with all seeds


@dataclass(frozen=True)
class Spread:
    """The variance of a run by what neither its seed nor its setting explains, over the settings of a sweep.

    Variances of the settings follow a scaled inverse chi-squared law around `prior` with `prior_df` degrees of freedom
    (Smyth 2004: the moderated t of limma). Infinite degrees say that they differ by no more than chance; 0, that
    nothing is known beside the two settings that are compared.
    """

    prior: float = 0.0  # variance of one run
    prior_df: float = 0.0
    most_df: float = 0.0  # of all settings together
    resolution: float = 0.0  # the smallest standard deviation of a difference that is believed

    @classmethod
    def of(cls, values: Sequence[Mapping[int, float]], resolution: float) -> Spread:
        """From the runs of each setting, by seed; only seeds that every one of those settings has count."""
        rows = [row for row in values if len(row) > 1]
        seeds = sorted(set.intersection(*map(set, rows))) if rows else []
        if len(rows) < FEWEST or len(seeds) < 2:
            return cls(resolution=resolution)
        table = np.array([[row[seed] for seed in seeds] for row in rows])
        table -= table.mean(axis=0)
        table -= table.mean(axis=1, keepdims=True)
        most_df = (len(rows) - 1) * (len(seeds) - 1)
        df = most_df / len(rows)
        variances = np.maximum((table**2).sum(axis=1) / df, resolution**2 / 2)
        prior, prior_df = _prior([float(variance) for variance in variances], df)
        return cls(prior, prior_df, most_df, resolution)

    def mean(self, values: Sequence[float], weight: float = 2.0, level: float = 0.95) -> Interval | None:
        """Interval of the mean of `values`, one for each seed; None without any, without ends with one.

        Each is a sum of runs whose squared factors add to `weight`: 2 for a difference of two settings.
        """
        n = len(values)
        if not n:
            return None
        mean = math.fsum(values) / n
        if n == 1:
            return Interval(-math.inf, mean, math.inf, 1)
        own = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
        variance, df = self._moderated(own, n - 1, self.prior * weight)
        least = self.resolution**2 * weight / 2
        half = t_quantile((1 + level) / 2, df) * math.sqrt(max(variance, least) / n)
        return Interval(mean - half, mean, mean + half, n)

    def _moderated(self, own: float, df: int, prior: float) -> tuple[float, float]:
        """(variance, degrees of freedom) of `own`, drawn to `prior`; as it is where it is beyond what the law allows.

        Without that exception a single noisy setting among quiet ones would have intervals that are far too short.
        Degrees of freedom are rounded down to tenths, so that few quantiles of t are computed.
        """
        lent = min(self.prior_df, self.most_df - df)
        if lent <= 0 or f_tail(own / prior, df, min(self.prior_df, self.most_df)) < NOISIER:
            return own, df
        share = 1.0 if math.isinf(self.prior_df) else self.prior_df / (self.prior_df + df)
        return share * prior + (1 - share) * own, df + math.floor(10 * BELIEVED * lent) / 10

    def difference(
        self, values: Mapping[int, float], base: Mapping[int, float], level: float = 0.95
    ) -> Interval | None:
        """Mean of value - base over the seeds that have both; None when no seed has."""
        return self.mean([values[seed] - base[seed] for seed in sorted(values.keys() & base.keys())], level=level)


def _prior(variances: Sequence[float], df: float) -> tuple[float, float]:
    """(variance, degrees of freedom) by the moments of the logarithms of the variances (Smyth 2004, section 6.2)."""
    logs = [math.log(variance) - digamma(df / 2) + math.log(df / 2) for variance in variances]
    mean = math.fsum(logs) / len(logs)
    excess = math.fsum((value - mean) ** 2 for value in logs) / (len(logs) - 1) - trigamma(df / 2)
    if excess <= 0:
        return math.fsum(variances) / len(variances), math.inf
    half = trigamma_inverse(excess)
    return math.exp(mean + digamma(half) - math.log(half)), 2 * half
