"""The spread of a row, judged together with that of the other rows of its metric: three values alone hardly know it."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from fastbs.analysis.gamma_functions import digamma, trigamma, trigamma_inverse

LEAST = 1e-24  # of a variance: the square of a double's own error
BELIEVED = 0.5  # of the degrees of freedom that other rows lend: real rows differ by more than the model allows
SHARED = 0.25  # of the luck, squared correlation of two rows, where two values a row cannot show it


@dataclass(frozen=True)
class RowSpread:
    """What the values of one row say of their spread, in the square of the metric's scale."""

    variance: float  # of one value, or of one difference
    df: float
    residuals: tuple[float, ...]  # around the mean of their side
    dimensions: int  # in which the residuals lie: their number less that of the means


@dataclass(frozen=True)
class Moderation:
    """Prior and least believed variance of the rows of one metric (Smyth 2004, limma's moderated t).

    Row variances follow a scaled inverse chi-squared law around `prior` with `prior_df` degrees of freedom. `typical`
    is their median. `shared` is the mean squared correlation of two rows: where a process or a seed is lucky in all
    rows at once, ten rows know no more of the spread than one.
    """

    rows: int
    prior: float
    prior_df: float
    typical: float
    shared: float

    @classmethod
    def of(cls, spreads: Sequence[RowSpread]) -> Moderation:
        """From the rows themselves, by the moments of the logarithms of their variances."""
        variances, dfs = [max(row.variance, LEAST) for row in spreads], [row.df for row in spreads]
        shared = _shared(spreads)
        prior, prior_df = _prior(variances, dfs, shared)
        medians = [variance / _median_of_chi2(df) for variance, df in zip(variances, dfs, strict=True)]
        return cls(len(spreads), prior, prior_df, statistics.median_high(medians), shared)

    def moderated(self, row: RowSpread, own_df: float) -> tuple[float, float]:
        """(variance, degrees of freedom) of a row; the latter from `own_df`, those that the row is sure to have.

        The variance is never below the row's own: a row that is noisier than the others keeps its noise. Rows that
        share their luck lend fewer degrees of freedom.
        """
        variance = max(row.variance, LEAST)
        if self.rows == 1:
            return variance, own_df
        lent = self.rows * row.df / (1 + (self.rows - 1) * self.shared)
        df = own_df + BELIEVED * max(0.0, min(self.prior_df + row.df, lent) - own_df)
        if math.isinf(self.prior_df):
            return max(variance, self.prior), df
        shrunk = (self.prior_df * self.prior + row.df * variance) / (self.prior_df + row.df)
        return max(variance, shrunk), df


def _prior(variances: Sequence[float], dfs: Sequence[float], shared: float) -> tuple[float, float]:
    """(variance, degrees of freedom); infinite where the rows differ by no more than chance."""
    logs = [
        math.log(variance) - digamma(df / 2) + math.log(df / 2) for variance, df in zip(variances, dfs, strict=True)
    ]
    mean = math.fsum(logs) / len(logs)
    if len(logs) > 1:
        by_chance = math.fsum(trigamma(df / 2) for df in dfs) / len(dfs) * (1 - shared)
        excess = math.fsum((value - mean) ** 2 for value in logs) / (len(logs) - 1) - by_chance
        if excess > 0:
            half = trigamma_inverse(excess)
            return math.exp(mean + digamma(half) - math.log(half)), 2 * half
    pooled = math.fsum(df * variance for df, variance in zip(dfs, variances, strict=True)) / math.fsum(dfs)
    return pooled, math.inf


def _median_of_chi2(df: float) -> float:
    """Median of chi-squared over its mean (Wilson and Hilferty 1931)."""
    return float((1 - 2 / (9 * df)) ** 3)


def _shared(spreads: Sequence[RowSpread]) -> float:
    """Mean squared correlation of two rows' residuals, less what independent rows have; 0 to 1.

    Of the rows with the most usual number of values. In m dimensions (the degrees of freedom) the squared correlation
    of two independent rows is 1/m in the mean.
    """
    usual = Counter((len(row.residuals), row.dimensions) for row in spreads)
    (length, dimensions), _ = max(usual.items(), key=lambda item: (item[1], item[0]))
    rows = [row.residuals for row in spreads if (len(row.residuals), row.dimensions) == (length, dimensions)]
    if dimensions < 2:
        return SHARED
    norms = [math.sqrt(math.fsum(value * value for value in row)) for row in rows]
    units = [[value / norm for value in row] for row, norm in zip(rows, norms, strict=True) if norm > 0]
    if len(units) < 2:
        return SHARED
    # The squared norm of this matrix is the sum of all squared correlations, each row's with itself among them.
    gram = [math.fsum(unit[i] * unit[j] for unit in units) for i in range(length) for j in range(length)]
    number = len(units)
    mean = (math.fsum(value * value for value in gram) - number) / (number * (number - 1))
    return min(1.0, max(0.0, (mean - 1 / dimensions) / (1 - 1 / dimensions)))
