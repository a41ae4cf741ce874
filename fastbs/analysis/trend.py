"""Accuracy against batch size as one number: top1 gained or lost with every doubling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fastbs.analysis.interval import Interval
from fastbs.analysis.student_t import mean_interval


@dataclass(frozen=True)
class Trend:
    """Slopes of top1 (a fraction) against log2(batch size), one for each seed."""

    slopes: tuple[float, ...]
    batch_sizes: tuple[int, ...]
    seeds: tuple[int, ...]
    resolution: float  # of a slope: the smallest spread over seeds that is believed

    @property
    def points_per_doubling(self) -> Interval:
        """Mean slope with its 95 % t interval over seeds, as a fraction of images per doubling (0.01: one point).

        It covers what would differ with other seeds, not with other validation images (`proportion.sampling_error`).
        """
        return mean_interval(self.slopes, self.resolution)


def fit_trend(top1: Mapping[int, Mapping[int, float]], resolution: float) -> Trend:
    """Least-squares slope of each seed alone, from top1[batch_size][seed] of the runs that are ok.

    A size without any ok run is left out. A seed counts only when it has all other sizes, so that what it does to all
    of them cannot enter the slope; a seed that lacks one (diverged, not run yet) is left out at every size. ValueError
    says why when fewer than two sizes or no seed remain. `resolution` is that of a difference of two top1 (one
    validation image); a slope over more or wider sizes resolves as much more.
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
    slopes = change @ doublings / (doublings @ doublings)
    resolved = resolution / float(np.sqrt(2 * doublings @ doublings))
    return Trend(tuple(map(float, slopes)), tuple(sizes), tuple(seeds), resolved)
