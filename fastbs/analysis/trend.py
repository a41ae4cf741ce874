"""Accuracy against batch size: a slope per doubling where a straight line describes it, and whether it falls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from fastbs.analysis.finding import POINT
from fastbs.analysis.interval import Interval
from fastbs.analysis.spread import Spread
from fastbs.analysis.student_t import f_tail, t_quantile

ROUNDING = 1e-24  # squared error of top1 that double precision leaves
BENT = 0.05  # level of the test for shape, and of all rises together


@dataclass(frozen=True)
class Trend:
    """Differences of top1 are fractions (0.01: one point), paired by seed, with 95 % intervals over seeds.

    They cover what would differ with other seeds, not with other validation images (`proportion.sampling_error`).
    """

    batch_sizes: tuple[int, ...]
    seeds: tuple[int, ...]
    points_per_doubling: Interval  # mean over seeds of each seed's least-squares slope against log2(batch size)
    from_smallest: tuple[Interval, ...]  # of every size, the first of which is 0
    shape_p: float | None  # chance of means this far off a straight line if it is one; None where nothing tells
    rises: tuple[tuple[int, int], ...]  # pairs of sizes of which the larger one is proven more accurate

    @property
    def straight(self) -> bool:
        """Nothing speaks against a straight line in log2(batch size)."""
        return self.shape_p is None or self.shape_p > BENT

    @property
    def bounded(self) -> bool:
        return self.points_per_doubling.bounded

    @property
    def falls(self) -> bool:
        """Proven: by the slope, or where the line is bent by the largest size against the smallest; no rise between."""
        fall = self.points_per_doubling if self.straight else self.from_smallest[-1]
        return self.bounded and fall.high < 0 and not self.rises

    @property
    def fall_excluded(self) -> bool:
        """A fall of a point per doubling or more is excluded, or it is proven that accuracy rises on the way."""
        if not self.bounded:
            return False
        doublings = float(np.log2(self.batch_sizes[-1] / self.batch_sizes[0]))
        low = self.points_per_doubling.low if self.straight else self.from_smallest[-1].low / doublings
        return bool(self.rises) or low > -POINT


def fit_trend(top1: Mapping[int, Mapping[int, float]], spread: Spread) -> Trend:
    """The trend of top1[batch_size][seed] of the runs that are ok.

    A size without any ok run is left out. A seed counts only when it has all other sizes, so that what it does to all
    of them cannot enter the slope; a seed that lacks one (diverged, not run yet) is left out at every size. ValueError
    says why when fewer than two sizes or no seed remain. `spread` is that of top1 over the sweep.
    """
    sizes = sorted(size for size, values in top1.items() if values)
    if len(sizes) < 2:
        raise ValueError("fewer than two batch sizes have a run that is ok")
    seeds = sorted(set.intersection(*(set(top1[size]) for size in sizes)))
    if not seeds:
        raise ValueError(f"no seed has a run that is ok at every one of {', '.join(map(str, sizes))}")
    doublings = np.log2(sizes) - np.mean(np.log2(sizes))
    values = np.array([[top1[size][seed] for size in sizes] for seed in seeds])
    change = values - values[:, :1]  # from the smallest size: equal accuracies have a slope of exactly 0
    squares = float(doublings @ doublings)
    slope = spread.mean([float(value) for value in change @ doublings / squares], weight=1 / squares)
    steps = [spread.mean([float(value) for value in column]) for column in change.T]
    assert slope is not None
    return Trend(
        batch_sizes=tuple(sizes),
        seeds=tuple(seeds),
        points_per_doubling=slope,
        from_smallest=tuple(step for step in steps if step is not None),
        shape_p=_shape_p(change, doublings, spread.resolution),
        rises=_rises(sizes, change, spread.resolution),
    )


def _shape_p(change: NDArray[np.float64], doublings: NDArray[np.float64], resolution: float) -> float | None:
    """Lack of fit of a straight line through the sizes' means: F against what is left of seeds and sizes.

    None with two sizes, which are always on a line, or one seed.
    """
    seeds, sizes = change.shape
    if seeds < 2 or sizes < 3:
        return None
    means = change.mean(axis=0) - change.mean()
    line = doublings * (means @ doublings) / (doublings @ doublings)
    misfit = seeds * float(((means - line) ** 2).sum()) / (sizes - 2)
    return f_tail(misfit / _variance(change, resolution), sizes - 2, (sizes - 1) * (seeds - 1))


def _rises(sizes: Sequence[int], change: NDArray[np.float64], resolution: float) -> tuple[tuple[int, int], ...]:
    """All pairs together (Bonferroni), with the variance that all sizes share: two seeds of two sizes know none."""
    seeds = len(change)
    if seeds < 2:
        return ()
    pairs, means = list(combinations(range(len(sizes)), 2)), change.mean(axis=0)
    quantile = t_quantile(1 - BENT / 2 / len(pairs), (len(sizes) - 1) * (seeds - 1))
    least = quantile * float(np.sqrt(2 * _variance(change, resolution) / seeds))
    return tuple((sizes[i], sizes[j]) for i, j in pairs if means[j] - means[i] > least)


def _variance(change: NDArray[np.float64], resolution: float) -> float:
    """Of one top1 by what neither its seed nor its size explains: two-way analysis of variance without replicates."""
    centred = change - change.mean(axis=1, keepdims=True)
    squares = float(((centred - centred.mean(axis=0)) ** 2).sum())
    return max(squares / ((change.shape[1] - 1) * (len(change) - 1)), resolution**2 / 2, ROUNDING)
