"""Laws that may be true: draws from what sizes, seeds and misses leave open.

One model for images to a target and for step times (an unbalanced two-way layout with random effects):

    log value[size, seed] = level + shape(size) + misfit[size] + seed effect[seed] + error[size, seed]

The misfit is what all seeds of a size share: the error of a tuned rate, a cliff of the step time. The seed effect is
what all sizes of a seed share. It moves the level and not the differences between sizes, so each has its own error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
PARENTS, CHILDREN = 128, 8  # draws of the error's variance, and of everything else for each
ROUNDS = 12  # of filling in values that are not known
MISFITS = np.geomspace(0.003, 0.45, 14)  # standard deviations of the misfit that are weighed
REACH, STEP = 100.0, 0.06  # the critical size is looked for up to so far beyond the sizes, in such steps of its logarithm
TINY = 1e-14  # variance of a logarithm that rounding leaves


@dataclass(frozen=True)
class Shapes:
    """Candidates for the logarithm of a law up to its level, with the logarithm of their prior weight."""

    logs: Array  # (shape, size)
    weights: Array  # (shape,)


@dataclass(frozen=True)
class Cells:
    """Logarithms by size and seed: nan where a value is not known, but for being above `at_least`."""

    logs: Array
    at_least: Array  # -inf where nothing at all is known

    @property
    def whole(self) -> bool:
        return not bool(np.isnan(self.logs).any())


@dataclass(frozen=True)
class Draws:
    """Equally likely truths."""

    shape: NDArray[np.intp]  # row of the shapes
    level: Array
    misfit: Array  # (draw, size)
    means: Array  # (draw, size): of the seeds' logarithms, where values were filled in


def critical_sizes(sizes: Array) -> Array:
    """The grid of r in 1 + B / r."""
    return np.exp(np.arange(np.log(sizes[0] / REACH), np.log(sizes[-1] * REACH) + STEP, STEP))


def jeffreys(sizes: Array, critical: Array) -> Array:
    """Logarithm of Jeffreys' prior of log r: how much the shape of log(1 + B / r) moves with it.

    It falls off on both sides of the sizes, where nothing can be told, and its intervals hold as often as they claim.
    """
    weight: Array = np.log((sizes / (sizes + critical[:, None])).std(axis=1) + 1e-300)
    return weight


def draw_laws(shapes: Shapes, cells: Cells, misfit_scale: float, seed: int = 0) -> Draws:
    """PARENTS * CHILDREN draws; values that are not known are filled in again and again (data augmentation).

    `misfit_scale`: of the half-t prior (3 degrees of freedom) of the misfit's standard deviation.
    """
    rng = np.random.default_rng(seed)
    prior = np.log(MISFITS) - 2 * np.log1p((MISFITS / misfit_scale) ** 2 / 3)
    if cells.whole:
        return _Posterior(shapes, prior, np.repeat(cells.logs[None], PARENTS, axis=0), rng).draw(CHILDREN)
    filled = np.repeat(_first_guess(cells)[None], PARENTS, axis=0)
    for _ in range(ROUNDS):
        filled = _Posterior(shapes, prior, filled, rng).fill(cells)
    return _Posterior(shapes, prior, filled, rng).draw(CHILDREN)


class _Posterior:
    """What one complete table each (parent, size, seed) says of the law."""

    def __init__(self, shapes: Shapes, prior: Array, tables: Array, rng: np.random.Generator) -> None:
        self.rng, self.tables = rng, tables
        parents, sizes, self.seeds = tables.shape
        self.by_size, self.by_seed = tables.mean(axis=2), tables.mean(axis=1)
        self.grand = tables.mean(axis=(1, 2))
        self.shape_means = shapes.logs.mean(axis=1)
        self.shapes, self.off = shapes.logs - self.shape_means[:, None], self.by_size - self.grand[:, None]
        self.noise, self.seed_error = np.full(parents, TINY), np.zeros(parents)
        if self.seeds > 1:
            rest = tables - self.by_size[:, :, None] - self.by_seed[:, None, :] + self.grand[:, None, None]
            squares = (rest**2).sum(axis=(1, 2))
            spare = (sizes - 1) * (self.seeds - 1)
            self.noise = squares / rng.chisquare(max(1, spare), parents) / self.seeds + TINY  # of a size's mean
            squares = ((self.by_seed - self.grand[:, None]) ** 2).sum(axis=1)
            self.seed_error = squares / rng.chisquare(self.seeds - 1, parents) / self.seeds  # of the grand mean
        squares = (self.off**2).sum(axis=1)[:, None] - 2 * self.off @ self.shapes.T + (self.shapes**2).sum(axis=1)
        variance = MISFITS**2 + self.noise[:, None]  # (parent, misfit)
        logs = (prior - (sizes - 1) / 2 * np.log(variance))[:, :, None] + shapes.weights
        logs = logs - np.maximum(squares, 0)[:, None, :] / (2 * variance[:, :, None])
        flat = logs.reshape(parents, -1)
        self.cumulated = np.exp(flat - flat.max(axis=1, keepdims=True)).cumsum(axis=1)

    def draw(self, children: int) -> Draws:
        parents, sizes = self.by_size.shape
        at = self.rng.random((parents, children)) * self.cumulated[:, -1:]
        found = [np.searchsorted(own, wanted) for own, wanted in zip(self.cumulated, at, strict=True)]
        misfits, shape = np.divmod(np.concatenate(found), len(self.shapes))
        parent = np.repeat(np.arange(parents), children)
        spread, noise = MISFITS[misfits][:, None], self.noise[parent][:, None]
        common = spread[:, 0] * self.rng.standard_normal(len(parent)) / np.sqrt(sizes)
        luck = np.sqrt(self.seed_error[parent]) * self.rng.standard_normal(len(parent))
        believed = spread**2 / (spread**2 + noise)
        own = np.sqrt(believed * noise) * self.rng.standard_normal((len(parent), sizes))
        own += believed * (self.off[parent] - self.shapes[shape]) - own.mean(axis=1, keepdims=True)
        self.spread = spread
        return Draws(
            shape=shape,
            level=self.grand[parent] - self.shape_means[shape] - common - luck,
            misfit=common[:, None] + own,
            means=self.by_size[parent],
        )

    def fill(self, cells: Cells) -> Array:
        """The tables with new values for the cells that are not known, under one draw each."""
        draw = self.draw(1)
        mean = draw.level[:, None] + self.shapes[draw.shape] + self.shape_means[draw.shape][:, None]
        mean = mean[:, :, None] + np.zeros(self.seeds)
        deviation = self.spread[:, :, None]
        if self.seeds > 1:
            mean = mean + draw.misfit[:, :, None]
            error = self.noise * self.seeds
            between = np.maximum(self.seed_error * self.seeds - error / mean.shape[1], 0.0) + TINY
            believed = (between / (between + error / mean.shape[1]))[:, None]
            effect = believed * (self.tables - mean).mean(axis=1)
            effect += np.sqrt(believed * error[:, None] / mean.shape[1]) * self.rng.standard_normal(effect.shape)
            mean, deviation = mean + effect[:, None, :], np.sqrt(error)[:, None, None]
        open_cells = np.isnan(cells.logs)
        low = ((cells.at_least - mean) / deviation)[:, open_cells]
        filled = self.tables.copy()
        filled[:, open_cells] = (mean + 0 * self.tables)[:, open_cells] + normal_above(self.rng, low) * (
            deviation + 0 * self.tables
        )[:, open_cells]
        return filled


def normal_above(rng: np.random.Generator, low: Array) -> Array:
    """Standard normal values above `low`, one each: by rejection, from an exponential tail (Robert 1995) where low > 0."""
    rate = (low + np.sqrt(np.maximum(low, 0) ** 2 + 4)) / 2
    tail = low > 0
    found, left = np.full(low.shape, np.nan), np.ones(low.shape, dtype=bool)
    while left.any():
        normal = rng.standard_normal(low.shape)
        beyond = low + rng.exponential(size=low.shape) / np.where(tail, rate, 1)
        with np.errstate(over="ignore", invalid="ignore"):
            kept = np.where(tail, rng.random(low.shape) < np.exp(-((beyond - rate) ** 2) / 2), normal > low)
        found = np.where(left & kept, np.where(tail, beyond, normal), found)
        left &= ~kept
    return found


def _first_guess(cells: Cells) -> Array:
    """Sizes' known means, or what is known to be exceeded."""
    known = ~np.isnan(cells.logs)
    sums, counts = np.where(known, cells.logs, 0).sum(axis=1), known.sum(axis=1)
    overall = sums.sum() / max(1, counts.sum())
    means = np.where(counts > 0, sums / np.maximum(counts, 1), overall)[:, None]
    guess: Array = np.where(known, cells.logs, np.maximum(means, cells.at_least + 0.05))
    return guess
