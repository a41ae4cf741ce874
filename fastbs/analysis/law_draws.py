"""Laws that may be true: draws from what sizes, seeds and misses leave open.

One model for images to a target and for step times (a two-way layout with random effects):

    log value[size, seed] = level + shape(size) + misfit[size] + seed effect[seed] + error[size, seed]

The misfit is what all seeds of a size share: the error of a tuned rate, a cliff of the step time. The seed effect is
what all sizes of a seed share. It moves the level and not the differences between sizes, so each has its own error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
PARENTS, CHILDREN = 128, 8  # draws of the error's variance, and of everything else for each
ROUNDS = 12  # of filling in values that are not known
WALKS = (0.3, 0.1, 0.03, 0.01) * 20  # widths of the steps off the grid, in logarithms
MISFITS = np.geomspace(0.003, 0.45, 10)  # grid of the misfit's standard deviation
REACH, STEP = (
    100.0,
    0.15,
)  # the critical size is looked for up to so far beyond the sizes, in such steps of its logarithm
TINY = 1e-14  # variance of a logarithm that rounding leaves
TRIES = 16  # sets of seeds that are made up for a size of which nobody reached the target


@dataclass(frozen=True)
class Law:
    """A law's shape as a function of parameters that are logarithms."""

    grid: Array  # (candidate, parameter)
    shape: Callable[[Array, Array], Array]  # (n, parameter), sizes -> (n, size): logarithms, up to a level
    weight: Callable[[Array], Array]  # (n, parameter) -> (n,): logarithm of the prior


@dataclass(frozen=True)
class Cells:
    """Logarithms by size and seed: nan where a value is not known, but for being above `at_least`."""

    logs: Array
    at_least: Array  # -inf where nothing at all is known
    paired: bool = True  # a seed has an effect that all sizes share; otherwise every cell stands for itself

    @property
    def whole(self) -> bool:
        return not bool(np.isnan(self.logs).any())


@dataclass(frozen=True)
class Draws:
    """Equally likely truths."""

    parameters: Array  # (draw, parameter)
    level: Array
    misfit: Array  # (draw, size)
    means: Array  # (draw, size): of the seeds' logarithms, where values were filled in
    spread: Array  # standard deviation of the misfit
    error: Array  # of a run
    effect: Array  # of a seed

    def taken(self, rows: NDArray[np.intp]) -> Draws:
        return Draws(**{name: values[rows] for name, values in vars(self).items()})


def critical_sizes(sizes: Array) -> Array:
    """Logarithms of the grid of r in 1 + B / r."""
    return np.arange(np.log(sizes[0] / REACH), np.log(sizes[-1] * REACH) + STEP, STEP)


def jeffreys(sizes: Array, logs: Array) -> Array:
    """Logarithm of Jeffreys' prior of log r: how much the shape of log(1 + B / r) moves with it.

    It falls off on both sides of the sizes, where nothing can be told, and its intervals hold as often as they claim.
    """
    weight: Array = np.log((sizes / (sizes + np.exp(logs)[:, None])).std(axis=1) + 1e-300)
    return weight


def draw_laws(law: Law, sizes: Array, cells: Cells, misfit_scale: float, seed: int = 0) -> Draws:
    """PARENTS * CHILDREN draws; values that are not known are filled in again and again (data augmentation).

    `misfit_scale`: of the half-t prior (3 degrees of freedom) of the misfit's standard deviation. Sizes of which no
    value is known but bounds are have no part in the fit: of its draws those are kept that explain them.
    """
    rng = np.random.default_rng(seed)
    seen = np.asarray(~np.isnan(cells.logs).all(axis=1))
    own = replace(cells, logs=cells.logs[seen], at_least=cells.at_least[seen])
    if own.whole:
        draws = _Posterior(
            law, sizes[seen], misfit_scale, np.repeat(own.logs[None], PARENTS, axis=0), own.paired, rng
        ).draw(CHILDREN)
    else:
        filled = np.repeat(_first_guess(own)[None], PARENTS, axis=0)
        for _ in range(ROUNDS):
            filled = _Posterior(law, sizes[seen], misfit_scale, filled, own.paired, rng).fill(own)
        draws = _Posterior(law, sizes[seen], misfit_scale, filled, own.paired, rng).draw(CHILDREN)
    return draws if seen.all() else _that_explain(draws, law, sizes, cells.at_least[~seen], ~seen, rng)


class _Posterior:
    """What one complete table each (parent, size, seed) says of the law."""

    def __init__(
        self, law: Law, sizes: Array, misfit_scale: float, tables: Array, paired: bool, rng: np.random.Generator
    ) -> None:
        self.law, self.sizes, self.scale, self.rng, self.tables = law, sizes, misfit_scale, rng, tables
        parents, n_sizes, self.seeds = tables.shape
        self.by_size, self.by_seed = tables.mean(axis=2), tables.mean(axis=1)
        self.grand = tables.mean(axis=(1, 2))
        self.off = self.by_size - self.grand[:, None]
        self.noise, self.luck = np.full(parents, TINY), np.zeros(parents)
        if self.seeds > 1 and not paired:
            rest = tables - self.by_size[:, :, None]
            spare = n_sizes * (self.seeds - 1)
            self.noise = (rest**2).sum(axis=(1, 2)) / rng.chisquare(spare, parents) / self.seeds + TINY  # of a mean
            self.luck = self.noise / n_sizes  # of the grand mean
        elif self.seeds > 1:
            rest = tables - self.by_size[:, :, None] - self.by_seed[:, None, :] + self.grand[:, None, None]
            spare = max(1, (n_sizes - 1) * (self.seeds - 1))
            self.noise = (rest**2).sum(axis=(1, 2)) / rng.chisquare(spare, parents) / self.seeds + TINY
            squares = ((self.by_seed - self.grand[:, None]) ** 2).sum(axis=1)
            self.luck = squares / rng.chisquare(self.seeds - 1, parents) / self.seeds

    def prior(self, log_misfit: Array) -> Array:
        density: Array = log_misfit - 2 * np.log1p((np.exp(log_misfit) / self.scale) ** 2 / 3)
        return density

    def on_grid(self, children: int) -> tuple[NDArray[np.intp], Array, Array]:
        """The parent, the parameters and the logarithm of the misfit's deviation of each draw."""
        shapes = _centred(self.law.shape(self.law.grid, self.sizes))
        squares = (self.off**2).sum(axis=1)[:, None] - 2 * self.off @ shapes.T + (shapes**2).sum(axis=1)
        variance = MISFITS**2 + self.noise[:, None]  # (parent, misfit)
        logs = self.prior(np.log(MISFITS)) - (len(self.sizes) - 1) / 2 * np.log(variance)
        logs = logs[:, :, None] + self.law.weight(self.law.grid)
        logs = logs - np.maximum(squares, 0)[:, None, :] / (2 * variance[:, :, None])
        flat = logs.reshape(len(self.off), -1)
        cumulated = np.exp(flat - flat.max(axis=1, keepdims=True)).cumsum(axis=1)
        wanted = self.rng.random((len(self.off), children)) * cumulated[:, -1:]
        found = np.concatenate([np.searchsorted(own, at) for own, at in zip(cumulated, wanted, strict=True)])
        misfits, rows = np.divmod(found, len(shapes))
        return np.repeat(np.arange(len(self.off)), children), self.law.grid[rows], np.log(MISFITS[misfits])

    def walk(self, parent: NDArray[np.intp], parameters: Array, log_misfit: Array) -> tuple[Array, Array]:
        """Off the grid by Metropolis steps of many widths."""

        def density(parameters: Array, log_misfit: Array) -> Array:
            squares = ((self.off[parent] - _centred(self.law.shape(parameters, self.sizes))) ** 2).sum(axis=1)
            variance = np.exp(2 * log_misfit) + self.noise[parent]
            logs: Array = self.law.weight(parameters) + self.prior(log_misfit)
            return logs - (len(self.sizes) - 1) / 2 * np.log(variance) - squares / (2 * variance)

        here = density(parameters, log_misfit)
        for width in WALKS:
            there = parameters + width * self.rng.standard_normal(parameters.shape)
            misfit = log_misfit + 3 * width * self.rng.standard_normal(log_misfit.shape)
            value = density(there, misfit)
            moved = np.log(self.rng.random(len(parent))) < value - here
            parameters, here = np.where(moved[:, None], there, parameters), np.where(moved, value, here)
            log_misfit = np.where(moved, misfit, log_misfit)
        return parameters, log_misfit

    def draw(self, children: int, *, walk: bool = True) -> Draws:
        parent, parameters, log_misfit = self.on_grid(children)
        if walk:
            parameters, log_misfit = self.walk(parent, parameters, log_misfit)
        n_sizes, spread, noise = len(self.sizes), np.exp(log_misfit), self.noise[parent]
        shapes = self.law.shape(parameters, self.sizes)
        common = spread * self.rng.standard_normal(len(parent)) / np.sqrt(n_sizes)
        luck = np.sqrt(self.luck[parent]) * self.rng.standard_normal(len(parent))
        believed = (spread**2 / (spread**2 + noise))[:, None]
        own = np.sqrt(believed * noise[:, None]) * self.rng.standard_normal((len(parent), n_sizes))
        error = noise * self.seeds
        return Draws(
            parameters=parameters,
            level=self.grand[parent] - shapes.mean(axis=1) - common - luck,
            misfit=common[:, None] + believed * (self.off[parent] - _centred(shapes)) + _centred(own),
            means=self.by_size[parent],
            spread=spread,
            error=np.sqrt(error),
            effect=np.sqrt(np.maximum(self.luck[parent] * self.seeds - error / n_sizes, 0) + TINY),
        )

    def fill(self, cells: Cells) -> Array:
        """The tables with new values for the cells that are not known, under one draw each."""
        draw, n_sizes = self.draw(1, walk=False), len(self.sizes)
        mean = draw.level[:, None] + self.law.shape(draw.parameters, self.sizes)
        mean = np.repeat(mean[:, :, None], self.seeds, axis=2)
        deviation = np.full(mean.shape, draw.spread[:, None, None])
        if self.seeds > 1:
            mean += draw.misfit[:, :, None]
            believed = draw.effect**2 / (draw.effect**2 + draw.error**2 / n_sizes)
            effect = believed[:, None] * (self.tables - mean).mean(axis=1)
            effect += (np.sqrt(believed / n_sizes) * draw.error)[:, None] * self.rng.standard_normal(effect.shape)
            mean += effect[:, None, :]
            deviation = np.full(mean.shape, draw.error[:, None, None])
        unknown = np.isnan(cells.logs)
        mean, deviation = mean[:, unknown], deviation[:, unknown]
        filled = self.tables.copy()
        filled[:, unknown] = mean + deviation * normal_above(self.rng, (cells.at_least[unknown] - mean) / deviation)
        return filled


def _centred(logs: Array) -> Array:
    found: Array = logs - logs.mean(axis=1, keepdims=True)
    return found


def _that_explain(
    draws: Draws, law: Law, sizes: Array, at_least: Array, unseen: NDArray[np.bool_], rng: np.random.Generator
) -> Draws:
    """As many draws, each as often as seeds made up under it stay above the bounds of the sizes that nobody saw."""
    n, seeds = len(draws.level), at_least.shape[1]
    means = draws.level[:, None] + law.shape(draws.parameters, sizes[unseen])
    made = means[:, None, :, None] + draws.spread[:, None, None, None] * rng.standard_normal(
        (n, TRIES, len(at_least), 1)
    )
    made = made + draws.effect[:, None, None, None] * rng.standard_normal((n, TRIES, 1, seeds))
    made = made + draws.error[:, None, None, None] * rng.standard_normal((n, TRIES, len(at_least), seeds))
    weights = (made > at_least).all(axis=(2, 3)).mean(axis=1) + 1e-9
    known = draws.taken(rng.choice(n, n, p=weights / weights.sum()))
    filled = np.empty((n, len(sizes)))
    filled[:, ~unseen] = known.means
    filled[:, unseen] = known.level[:, None] + law.shape(known.parameters, sizes[unseen])
    return Draws(**{**vars(known), "means": filled})


def normal_above(rng: np.random.Generator, low: Array) -> Array:
    """Standard normal values above `low`, one each: by rejection, where low > 0 from an exponential (Robert 1995)."""
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
    means = np.nanmean(cells.logs, axis=1, keepdims=True)
    guess: Array = np.where(np.isnan(cells.logs), np.maximum(means, cells.at_least + 0.05), cells.logs)
    return guess
