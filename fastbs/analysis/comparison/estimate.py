"""How far one side is from the other, and how surely: one number, its standard error, its degrees of freedom."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fastbs.analysis.student_t import t_quantile, t_tail

FEW = 5  # processes a side; with fewer, Satterthwaite's degrees of freedom are too many
POWER = 0.8
ENUMERATED = 20_000  # ways of dealing times to two sides; of more, the distribution is approximated


@dataclass(frozen=True)
class Estimate:
    """`change` and `se` are natural logarithms of head / base, or points; with `df` infinite it is normal.

    `session` is the part of `se` that the sessions have which the sides do not share: all rows have it at once.
    """

    change: float
    se: float
    df: float
    spread_from: str
    session: float = 0.0

    @property
    def p(self) -> float:
        """The probability of a change at least as large, either way, if there is none."""
        if self.se == 0:
            return 0.0 if self.change else 1.0
        return t_tail(self.change / self.se, self.df)

    def interval(self, level: float) -> tuple[float, float]:
        """Contains the true change with probability 1 - `level`."""
        half = t_quantile(1 - level / 2, self.df) * self.se
        return self.change - half, self.change + half

    def smallest_visible(self, level: float) -> float:
        """The change that a test at `level` would call one with 80 % probability, in the unit of `change`."""
        return (t_quantile(1 - level / 2, self.df) + t_quantile(POWER, self.df)) * self.se


def welch(base: Sequence[float], head: Sequence[float]) -> Estimate:
    """Of means of independent values (logarithms or points), at least two a side, whose spreads may differ.

    Satterthwaite's degrees of freedom, rounded down to half ones; with fewer than five values on a side those of the
    smaller side alone, which never claims too much.
    """
    errors = [_squared_error(values) for values in (base, head)]
    fewest = min(len(base), len(head))
    df = float(fewest - 1)
    if fewest >= FEW and sum(errors) > 0:
        parts = (error**2 / (len(values) - 1) for error, values in zip(errors, (base, head), strict=True))
        df = math.floor(2 * sum(errors) ** 2 / math.fsum(parts)) / 2
    return Estimate(_mean(head) - _mean(base), math.sqrt(sum(errors)), df, "processes")


def from_pairs(differences: Sequence[float]) -> Estimate:
    """Of the mean of head - base in at least two pairs."""
    return Estimate(_mean(differences), math.sqrt(_squared_error(differences)), len(differences) - 1.0, "pairs")


def with_session(estimate: Estimate, session: float, df: float) -> Estimate:
    """The same with the luck of sessions on top: a standard error that `df` degrees of freedom know.

    Degrees of freedom of the sum after Satterthwaite (1946), rounded down to half ones.
    """
    if session == 0:
        return estimate
    variances = estimate.se**2, session**2
    parts = variances[0] ** 2 / estimate.df + variances[1] ** 2 / df
    return replace(
        estimate,
        se=math.sqrt(sum(variances)),
        df=max(1.0, math.floor(2 * sum(variances) ** 2 / parts) / 2) if parts else math.inf,
        session=session,
    )


def from_noise(
    base: Sequence[float],
    head: Sequence[float],
    *,
    noise: float,
    df: float,
    within: tuple[float, float],
    spread_from: str,
) -> Estimate:
    """Of means whose spread is not measured but known: `noise` is that of the difference between two processes.

    `within` is what is added by each side's processes themselves, relative, where a side has only one.
    """
    variance = noise**2 * (1 / len(base) + 1 / len(head)) / 2 + within[0] ** 2 + within[1] ** 2
    return Estimate(_mean(head) - _mean(base), math.sqrt(variance), df, spread_from)


def rank_test(base: Sequence[float], head: Sequence[float]) -> float:
    """p of the exact permutation test of the sum of ranks, two-sided; equal values (misses: inf) share their ranks.

    With more than 20,000 ways of dealing the values to the sides, the normal approximation (Mann and Whitney).
    """
    pooled = sorted([*base, *head])
    rank = {value: pooled.index(value) + (pooled.count(value) + 1) / 2 for value in set(pooled)}
    ranks, k = [rank[value] for value in pooled], len(base)
    n = len(ranks)
    centre = k * (n + 1) / 2
    distance = abs(math.fsum(rank[value] for value in base) - centre)
    if math.comb(n, k) <= ENUMERATED:
        sums = [abs(math.fsum(chosen) - centre) for chosen in itertools.combinations(ranks, k)]
        return sum(other >= distance - 1e-9 for other in sums) / len(sums)
    variance = k * (n - k) / n * statistics.variance(ranks)
    return 1.0 if variance == 0 else math.erfc(max(0.0, distance - 0.5) / math.sqrt(2 * variance))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _squared_error(values: Sequence[float]) -> float:
    """Of their mean."""
    mean = _mean(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values)
