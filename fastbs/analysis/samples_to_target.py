"""How many images it takes to reach a target, as a function of batch size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fastbs.analysis.dominated import SPREAD
from fastbs.analysis.interval import Interval
from fastbs.analysis.law_draws import Cells, Law, critical_sizes, draw_laws, jeffreys
from fastbs.analysis.student_t import t_quantile

Array = NDArray[np.float64]
FEWEST_SIZES, LEAST_SPAN = 3, 8
ADVISED_SIZES, ADVISED_SPAN = 4, 16
TAIL = 0.025  # of a 95 % interval
MODEL_ERROR = 0.06  # of log images for every doubling beyond the data: what ResNet-50's published points miss it by
MISFIT = 0.03  # of log images at a size, shared by its seeds: the median family of MLPerf misses the law by .033
FAR = 30  # times the sizes, from where a critical size is not told from an infinite one or from 0 in replicates
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
    batch_sizes: Sequence[int],
    images: Sequence[float | Sequence[float | None]],
    *,
    above: Sequence[Sequence[float]] = (),
    single_runs: bool = False,
    misfit: float = MISFIT,
) -> SamplesFit:
    """Fit the law by least squares on logarithms; images[i] are those of batch_sizes[i], of one seed or of several.

    A place in images[i] is a seed, the same one at all sizes; None where it is not known, but for being above
    above[i] at that place (a run that missed the target within its budget; 0 where nothing is known): what it may be is
    filled in (see `law_draws`). `misfit` is the standard deviation that is expected of what all
    seeds of a size share. `single_runs`: a lone value is that of one run, and not of many as published ones are.
    Sizes at the large end that need more than the smaller ones predict are left out and named (see `_lawful`).
    ValueError with fewer than three batch sizes that span a factor of eight; four that span 16 are advised.
    """
    order = sorted(range(len(batch_sizes)), key=lambda i: batch_sizes[i])
    sizes = np.array([batch_sizes[i] for i in order], dtype=float)
    if len(set(sizes)) < len(sizes) or not _enough(sizes):
        raise ValueError("needs at least three different batch sizes that span a factor of eight")
    rows = [np.atleast_1d(np.array(images[i], dtype=object)) for i in order]
    cells = _cells(rows, [above[i] for i in order] if above else [])
    least = np.where(np.isnan(cells.logs), cells.at_least, cells.logs)
    means = np.array([row[np.isfinite(row)].mean() for row in least])
    lawful = _lawful(sizes, means)
    kept, cells = sizes[:lawful], Cells(cells.logs[:lawful], cells.at_least[:lawful])
    expected = math.hypot(misfit, SPREAD) if single_runs and cells.logs.shape[1] == 1 else misfit
    replicates, means = _replicates(kept, cells, expected)
    e_min, s_min = _fit(kept, means[None])[0]
    return SamplesFit(
        e_min=float(e_min),
        s_min=float(s_min),
        batch_sizes=tuple(int(size) for size in kept),
        residuals=tuple(float(r) for r in means - np.log(e_min + s_min * kept)),
        breaks_law_at=tuple(int(size) for size in sizes[lawful:]),
        replicates=tuple((float(e), float(s)) for e, s in replicates),
    )


def _cells(images: Sequence[NDArray[np.object_]], above: Sequence[Sequence[float]]) -> Cells:
    """Logarithms by size and seed; shorter rows end with seeds of which nothing is known."""
    seeds = max(map(len, images))
    logs, at_least = np.full((len(images), seeds), np.nan), np.full((len(images), seeds), -np.inf)
    for row, own in enumerate(images):
        known = [place for place, value in enumerate(own) if value is not None]
        values = np.array([own[place] for place in known], dtype=float)
        bounds = np.array([] if not above else above[row], dtype=float)
        if not (len(known) or (bounds > 0).any()) or not (np.isfinite(values) & (values > 0)).all():
            raise ValueError("images to the target must be above 0 and finite")
        logs[row, known] = np.log(values)
        places = np.flatnonzero(bounds > 0)
        at_least[row, places] = np.log(bounds[places])
    return Cells(logs, np.where(np.isnan(logs), at_least, -np.inf))


def _enough(sizes: Array) -> bool:
    return len(sizes) >= FEWEST_SIZES and bool(sizes.max() >= LEAST_SPAN * sizes.min())


def fit_means(batch_sizes: Sequence[float], logs: Sequence[float]) -> tuple[float, float]:
    """(e_min, s_min) of the law through mean logarithms of images, by least squares; the sizes rise."""
    e_min, s_min = _fit(np.array(batch_sizes, dtype=float), np.array([logs]))[0]
    return float(e_min), float(s_min)


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


def _replicates(sizes: Array, cells: Cells, misfit: float) -> tuple[Array, Array]:
    """Laws (e_min, s_min) that may be true, and the mean logarithm of every size with what had to be filled in.

    A critical size far beyond the sizes cannot be told from none: then one of the two terms is 0.
    """
    law = Law(
        grid=critical_sizes(sizes)[:, None],
        shape=lambda parameters, sizes: np.log1p(sizes / np.exp(parameters)),
        weight=lambda parameters: jeffreys(sizes, parameters[:, 0]),
    )
    draws = draw_laws(law, sizes, cells, misfit)
    b_crit, e_min = np.exp(draws.parameters[:, 0]), np.exp(draws.level)
    middle = np.exp(np.log(sizes).mean())
    flat, steep = b_crit > FAR * sizes[-1], b_crit < sizes[0] / FAR
    at_middle = e_min * (1 + middle / b_crit)
    found = np.stack(
        [
            np.select([flat, steep], [at_middle, 0.0], e_min),
            np.select([flat, steep], [0.0, at_middle / middle], e_min / b_crit),
        ],
        axis=1,
    )
    return found, draws.means.mean(axis=0)


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
