"""Step time at any batch size: a curve, and what the measured times lie off it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fastbs.analysis.law_draws import Cells, Law, critical_sizes, draw_laws, jeffreys

Array = NDArray[np.float64]
FEWEST_SIZES, LEAST_SPAN = 3, 8  # for a curve; fewer are joined by lines
MISFIT = 0.01  # of log step time: what a size is expected to lie off the curve for good
FLOORS = 16  # ends of a floor that are weighed, as much together as no floor
SEED = 1


@dataclass(frozen=True)
class StepCurve:
    """t(B) = max(host, alpha + beta B) exp(residual(B)): seconds, by draw, the residual on lines in log B.

    Only so much of a measured time's distance from the curve is a residual as its scatter over processes does not
    explain. Beyond the measured sizes the residual stays what it is at the last.
    """

    sizes: Array  # measured
    alpha: Array  # s, by draw
    beta: Array  # s per image
    host: Array  # s
    residuals: Array  # (draw, size), logarithms

    def draws(self, batch_sizes: Sequence[float]) -> Array:
        """(draw, batch size) seconds, equally likely."""
        sizes = np.asarray(batch_sizes, dtype=float)
        line = np.maximum(self.host[:, None], self.alpha[:, None] + self.beta[:, None] * sizes)
        place = np.interp(np.log(sizes), np.log(self.sizes), np.arange(len(self.sizes)))
        below = np.minimum(place.astype(int), max(0, len(self.sizes) - 2))
        share, above = place - below, np.minimum(below + 1, len(self.sizes) - 1)
        found: Array = line * np.exp(self.residuals[:, below] * (1 - share) + self.residuals[:, above] * share)
        return found

    def seconds(self, batch_size: float) -> float:
        """The middle of the draws: their geometric mean."""
        line = np.log(np.maximum(self.host, self.alpha + self.beta * batch_size)).mean()
        return math.exp(line + np.interp(math.log(batch_size), np.log(self.sizes), self.mean_residuals))

    @cached_property
    def mean_residuals(self) -> Array:
        return np.asarray(self.residuals.mean(axis=0))


def fit_step_curve(steps: Mapping[int, Mapping[int, float]], *, paired: bool) -> StepCurve:
    """From steps[batch size][process], seconds; at least one. `paired`: a process, or a round, has measured all sizes.

    The curve is a line of the size, with a floor or without one; with fewer than three sizes that span a factor of
    eight it is a straight line through the measured times, which then are as uncertain as they scatter.
    """
    sizes = np.array(sorted(steps), dtype=float)
    processes = sorted(set().union(*(steps[int(size)] for size in sizes)))
    logs = np.log([[steps[int(size)].get(process, math.nan) for process in processes] for size in sizes])
    cells = Cells(logs, np.full(logs.shape, -np.inf), paired)
    if len(sizes) < FEWEST_SIZES or sizes[-1] < LEAST_SPAN * sizes[0]:
        return _joined(sizes, cells)
    draws = draw_laws(_line_and_floor(sizes), sizes, cells, MISFIT, SEED)
    critical, end = np.exp(draws.parameters).T
    alpha = np.exp(draws.level)
    beta = alpha / critical
    return StepCurve(sizes, alpha, beta, np.where(end > 0, alpha + beta * end, 0.0), draws.misfit)


def _line_and_floor(sizes: Array) -> Law:
    """Parameters: log(alpha / beta), and log of the size up to which a floor holds, -inf for none."""
    grid, (low, high) = critical_sizes(sizes), np.log(sizes[[0, -1]])
    ends = np.concatenate([[-np.inf], np.linspace(low, high, FLOORS + 2)[1:-1]])

    def shape(parameters: Array, sizes: Array) -> Array:
        critical, end = np.exp(parameters[:, :1]), np.exp(parameters[:, 1:])
        found: Array = np.log1p(np.maximum(sizes, end) / critical)
        return found

    def weight(parameters: Array) -> Array:
        critical, end = parameters.T
        floor = np.where(end > low, -math.log(FLOORS), 0.0)
        outside = ((end > -np.inf) & ((end < low) | (end > high))) | (critical < grid[0]) | (critical > grid[-1])
        return np.where(outside, -np.inf, floor + jeffreys(sizes, critical))

    return Law(np.stack([np.tile(grid, len(ends)), np.repeat(ends, len(grid))], axis=1), shape, weight)


def _joined(sizes: Array, cells: Cells) -> StepCurve:
    """Of one or two sizes, or ones too near each other for a curve: only what they scatter is drawn."""
    flat = Law(np.zeros((1, 1)), lambda _, sizes: np.zeros((1, len(sizes))), lambda _: np.zeros(1))
    draws = draw_laws(flat, sizes, cells, 1.0, SEED)
    none = np.zeros(len(draws.level))
    return StepCurve(sizes, np.exp(draws.level), none, none, draws.misfit)
