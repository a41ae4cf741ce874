"""What replicates in a row: processes, seeds that both sides have, or sessions."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from fastbs.analysis.comparison.estimate import welch
from fastbs.analysis.comparison.metrics import Metric
from fastbs.analysis.comparison.moderation import RowSpread
from fastbs.analysis.comparison.records import Sample
from fastbs.analysis.comparison.sessions import Sessions, left_over

SEVERAL = 2  # sessions a side, from which on they are what replicates


@dataclass(frozen=True)
class Units:
    """Independent values on the metric's scale: of both sides, or the differences head - base of pairs.

    `source` is "processes", "pairs", "seeds" or "sessions"; `luck` is how many times the variance of a session is in
    the change; where the source is not sessions, it is not in the spread of the values.
    """

    source: str
    base: tuple[float, ...] = ()
    head: tuple[float, ...] = ()
    differences: tuple[float, ...] = ()  # of pairs; then the sides are empty
    resolution: float = 0.0
    luck: float = 0.0

    @property
    def fewest(self) -> int:
        """Pairs, or values of the smaller side."""
        return len(self.differences) if self.differences else min(len(self.base), len(self.head))

    @property
    def total(self) -> int:
        """Values of both sides."""
        return 2 * len(self.differences) if self.differences else len(self.base) + len(self.head)

    @property
    def change(self) -> float:
        return _mean(self.differences) if self.differences else _mean(self.head) - _mean(self.base)

    @property
    def share(self) -> float:
        """The squared standard error of the change over the variance of one value (of one difference, for pairs)."""
        return 1 / self.fewest if self.differences else 1 / len(self.base) + 1 / len(self.head)

    @property
    def spread(self) -> RowSpread:
        """Needs two values a side, or two pairs."""
        groups = [self.differences] if self.differences else [self.base, self.head]
        residuals = [value - mean for group in groups for mean in [_mean(group)] for value in group]
        if self.differences:
            variance, df = math.fsum(value * value for value in residuals) / (self.fewest - 1), self.fewest - 1
        else:
            variance = welch(self.base, self.head).se ** 2 / self.share
            df = self.total - 2 if len(self.base) == len(self.head) else self.fewest - 1
        dimensions = len(residuals) - len(groups)
        return RowSpread(max(variance, self.resolution**2), float(df), tuple(residuals), dimensions)


def units_of(
    base: Sample, head: Sample, metric: Metric, sessions: Sessions | None, *, paired: bool = False
) -> Units | None:
    """None where a side has no value, or times of runs that never reached their target.

    Seeds that both sides have are pairs: two thirds of each side's values at least. Of times, sessions are what
    replicates where both sides have several; those that both have, and no other, are pairs.
    """
    before, after = (tuple(scaled(sample.values, metric)) for sample in (base, head))
    if not before or not after or math.inf in (*before, *after):
        return None
    resolution = max(base.resolution, head.resolution)
    if paired:
        differences = tuple(b - a for a, b in zip(before, after, strict=True))
        return Units("pairs", differences=differences, resolution=resolution)
    mixes = _mixes(base, head, sessions) if metric.scale == "ratio" else None
    luck = left_over(*mixes) if mixes else 0.0
    by_seed = [_by_label(sample, values) for sample, values in ((base, before), (head, after))]
    common = [seed for seed in by_seed[0] if seed in by_seed[1]]
    if len(common) >= 2 and 3 * len(common) >= 2 * max(len(before), len(after)):
        differences = tuple(by_seed[1][seed] - by_seed[0][seed] for seed in common)
        return Units("seeds", differences=differences, resolution=resolution, luck=luck)
    if mixes and min(len(set(mix)) for mix in mixes) >= SEVERAL:
        means = [_means(values, mix) for values, mix in ((before, mixes[0]), (after, mixes[1]))]
        if means[0].keys() != means[1].keys():
            return Units("sessions", tuple(means[0].values()), tuple(means[1].values()), luck=luck)
        if len(means[0]) > SEVERAL:
            differences = tuple(means[1][number] - means[0][number] for number in means[0])
            return Units("sessions", differences=differences, luck=luck)
    return Units("processes", before, after, resolution=resolution, luck=luck)


def _by_label(sample: Sample, values: Sequence[float]) -> dict[Hashable, float]:
    """Empty where the values have no labels, or two have the same."""
    return dict(zip(sample.labels, values, strict=True)) if len(set(sample.labels)) == len(values) else {}


def _mixes(base: Sample, head: Sample, sessions: Sessions | None) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """The session of each value of both sides."""
    if sessions is None:
        return None
    before, after = sessions.of_values(0, base), sessions.of_values(1, head)
    return None if before is None or after is None else (before, after)


def _means(values: Sequence[float], sessions: Sequence[int]) -> dict[int, float]:
    """The mean of each session's values."""
    return {
        number: _mean([value for value, session in zip(values, sessions, strict=True) if session == number])
        for number in sorted(set(sessions))
    }


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def scaled(values: Sequence[float], metric: Metric) -> list[float]:
    """Logarithms of a ratio metric, points as they are."""
    if metric.scale == "points":
        return list(values)
    return [math.log(value) if math.isfinite(value) else value for value in values]
