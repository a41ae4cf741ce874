"""How many images it takes to reach a target, as a function of batch size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fastbs.analysis.dominated import SPREAD, WORTH
from fastbs.analysis.interval import Interval
from fastbs.analysis.student_t import t_quantile

Array = NDArray[np.float64]
REPLICATES = 1000
FEWEST_SIZES, LEAST_SPAN = 3, 8
ADVISED_SIZES, ADVISED_SPAN = 4, 16
TAIL = 0.025  # of a 95 % interval
MODEL_ERROR = 0.06  # of log images for every doubling beyond the data: what ResNet-50's published points miss it by
FLAT = 1e4  # times the largest size (or one in so many of the smallest): B_crit beyond it cannot be told from infinite


@dataclass(frozen=True)
class SamplesFit:
    """E(B) = e_min + s_min B images, in S(B) = s_min + e_min / B updates (McCandlish et al. 2018)."""

    e_min: float  # images that very small batches need; the unit is that of the images given
    s_min: float  # updates that very large batches need
    batch_sizes: tuple[int, ...]  # that the law was fitted to
    residuals: tuple[float, ...]  # log(measured / fitted) at each
    breaks_law_at: tuple[int, ...] = ()  # large sizes that need more than the law says; not fitted
    replicates: tuple[tuple[float, float], ...] = field(default=(), repr=False)  # (e_min, s_min) that may be true

    @property
    def b_crit(self) -> float:
        """Batch size at which the images are twice e_min; inf where larger batches need no more, 0 where all do."""
        return self.e_min / self.s_min if self.s_min else math.inf

    @property
    def rms_log_residual(self) -> float:
        """Above 0.1 the law does not describe these data."""
        return math.sqrt(math.fsum(r * r for r in self.residuals) / len(self.residuals))

    def images(self, batch_size: float) -> float:
        return self.e_min + self.s_min * batch_size

    def updates(self, batch_size: float) -> float:
        return self.images(batch_size) / batch_size

    def extrapolates(self, batch_size: float) -> bool:
        """Further from the data than a factor of two."""
        return not self.batch_sizes[0] / 2 <= batch_size <= 2 * self.batch_sizes[-1]

    @property
    def thin(self) -> bool:
        """Fewer than four sizes, or a span of less than 16: enough for a fit, with an interval that says little."""
        return len(self.batch_sizes) < ADVISED_SIZES or self.batch_sizes[-1] < ADVISED_SPAN * self.batch_sizes[0]

    def interval(self, quantity: Callable[[SamplesFit], float]) -> Interval:
        """95 % interval of a quantity of this fit, percentiles over the replicates; an end may be 0 or infinite."""
        values = sorted(
            quantity(replace(self, e_min=e_min, s_min=s_min, replicates=())) for e_min, s_min in self.replicates
        )
        estimate, n = quantity(self), len(self.batch_sizes)
        if not values:
            return Interval(-math.inf, estimate, math.inf, n)
        at = int(TAIL * len(values))
        return Interval(min(estimate, values[at]), estimate, max(estimate, values[-1 - at]), n)

    @property
    def b_crit_interval(self) -> Interval:
        return self.interval(lambda fit: fit.b_crit)

    def band(self, batch_size: float) -> Interval:
        """Images at a batch size with a 95 % band, which widens by 12 % with every doubling beyond the data."""
        inside = self.interval(lambda fit: fit.images(batch_size))
        beyond = max(batch_size / self.batch_sizes[-1], self.batch_sizes[0] / batch_size, 1.0)
        factor = math.exp(2 * MODEL_ERROR * math.log2(beyond))
        return replace(inside, low=inside.low / factor, high=inside.high * factor)


def fit_samples_to_target(
    batch_sizes: Sequence[int], images: Sequence[float | Sequence[float]], *, single_runs: bool = False
) -> SamplesFit:
    """Fit the law by least squares on logarithms; images[i] are those of batch_sizes[i], of one seed or of several.

    `single_runs`: a lone value is that of one run, and not of many as published ones are. Replicates redraw what
    scatters over seeds and what scatters over sizes (see `_replicates`). Sizes at the large end
    that need more than the smaller ones predict are left out and named (see `_lawful`). ValueError with fewer than
    three batch sizes that span a factor of eight; four that span 16 are advised.
    """
    order = sorted(range(len(batch_sizes)), key=lambda i: batch_sizes[i])
    sizes = np.array([batch_sizes[i] for i in order], dtype=float)
    seeds = [np.log(np.atleast_1d(np.asarray(images[i], dtype=float))) for i in order]
    if len(set(sizes)) < len(sizes) or not _enough(sizes):
        raise ValueError("needs at least three different batch sizes that span a factor of eight")
    if not all(len(logs) and np.isfinite(logs).all() for logs in seeds):
        raise ValueError("images to the target must be above 0 and finite")
    means = np.array([logs.mean() for logs in seeds])
    lawful = _lawful(sizes, means)
    kept, logs = sizes[:lawful], means[:lawful]
    e_min, s_min = _fit(kept, logs[None])[0]
    return SamplesFit(
        e_min=float(e_min),
        s_min=float(s_min),
        batch_sizes=tuple(int(size) for size in kept),
        residuals=tuple(float(r) for r in logs - np.log(e_min + s_min * kept)),
        breaks_law_at=tuple(int(size) for size in sizes[lawful:]),
        replicates=_replicates(kept, seeds[:lawful], np.log(e_min + s_min * kept), single_runs=single_runs),
    )


def _enough(sizes: Array) -> bool:
    return len(sizes) >= FEWEST_SIZES and bool(sizes.max() >= LEAST_SPAN * sizes.min())


def _fit(sizes: Array, logs: Array) -> Array:
    """(e_min, s_min) for each row of `logs` (row, size), by least squares.

    With r = B_crit the best scale for a given r is a mean, so one unknown is left: its squares are scanned on a grid
    in log r and the best point refined by a parabola. At the ends of the grid one of the two is 0.
    """
    grid = np.arange(np.log(sizes[0] / FLAT), np.log(sizes[-1] * FLAT), 0.02)
    shape = np.log1p(sizes / np.exp(grid)[:, None])  # (grid, size)
    shape -= shape.mean(axis=1, keepdims=True)
    mean = logs.mean(axis=1)
    squares = (shape**2).sum(axis=1) - 2 * (logs - mean[:, None]) @ shape.T  # (row, grid), but for a term of the row
    lowest = squares.argmin(axis=1)
    best, rows = np.clip(lowest, 1, len(grid) - 2), np.arange(len(logs))
    before, at, after = squares[rows, best - 1], squares[rows, best], squares[rows, best + 1]
    bend = before - 2 * at + after
    shift = np.where(bend > 0, 0.5 * (before - after) / np.where(bend > 0, bend, 1), 0)
    b_crit = np.exp(grid[best] + 0.02 * np.clip(shift, -1, 1))
    scale = np.exp(mean - np.log1p(sizes / b_crit[:, None]).mean(axis=1))
    flat, steep = lowest >= len(grid) - 2, lowest <= 1
    e_min = np.select([flat, steep], [np.exp(mean), 0.0], scale)
    s_min = np.select([flat, steep], [0.0, np.exp(mean - np.log(sizes).mean())], scale / b_crit)
    return np.stack([e_min, s_min], axis=1)


def _replicates(
    sizes: Array, seeds: Sequence[Array], fitted: Array, *, single_runs: bool
) -> tuple[tuple[float, float], ...]:
    """The law refitted to what each size might as well have shown: a parametric bootstrap over seeds and sizes.

    Each replicate draws the variance of a size's mean twice, as scaled inverse chi-squares: from how far the sizes lie
    off the law, and from how far the seeds of a size lie apart. The larger holds. Drawing sizes with replacement would
    not do with so few: of three, only the draw of all three can be fitted, and the interval would be a point. Of
    `single_runs`, one a size, the spread that is expected between runs (see `Race.spread`) is mixed into the former.
    """
    rng = np.random.default_rng(0)
    counts, means = np.array([len(own) for own in seeds]), np.array([own.mean() for own in seeds])
    between, n = float(((means - fitted) ** 2).sum()), len(sizes)
    spare = int(counts.sum()) - n
    expected = WORTH if single_runs and spare == 0 else 0
    variance = ((between + expected * SPREAD**2) / rng.chisquare(n - 2 + expected, REPLICATES))[:, None]
    if spare > 0:
        within = sum(float(((own - own.mean()) ** 2).sum()) for own in seeds)
        variance = np.maximum(variance, within / rng.chisquare(spare, REPLICATES)[:, None] / counts)
    logs = fitted + np.sqrt(variance) * rng.standard_normal((REPLICATES, n))
    return tuple((float(e_min), float(s_min)) for e_min, s_min in _fit(sizes, logs))


def _lawful(sizes: Array, logs: Array) -> int:
    """How many of the smallest sizes follow the law.

    From the largest size inwards each is compared with what the sizes below it predict, at levels of 2.5 %, 1.25 %...:
    lawful data are accused in less than 5 % of cases, and two that break it together cannot hide each other.
    """
    lawful, level = len(sizes), TAIL
    for last in range(len(sizes) - 1, FEWEST_SIZES, -1):
        if _enough(sizes[:last]) and _breaks(sizes[: last + 1], logs[: last + 1], level):
            lawful = last
        level /= 2
    return lawful


def _breaks(sizes: Array, logs: Array, level: float) -> bool:
    """Whether the largest size needs more images than the law that the others follow predicts: a t test."""
    others, n = sizes[:-1], len(sizes) - 1
    e_min, s_min = _fit(others, logs[None, :-1])[0]
    residuals = logs[:-1] - np.log(e_min + s_min * others)
    slopes = np.stack([e_min / (e_min + s_min * sizes), s_min * sizes / (e_min + s_min * sizes)], axis=1)
    spread = slopes[-1] @ np.linalg.pinv(slopes[:-1].T @ slopes[:-1]) @ slopes[-1]
    error = math.sqrt(float(residuals @ residuals) / (n - 2) * (1 + float(spread)))
    missed = float(logs[-1] - np.log(e_min + s_min * sizes[-1]))
    return missed > max(t_quantile(1 - level, n - 2) * error, 1e-9)
