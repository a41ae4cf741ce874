"""Step time at any batch size: a curve, and what the measured times lie off it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastbs.analysis.law_draws import Cells, Draws, Shapes, critical_sizes, draw_laws, jeffreys

Array = NDArray[np.float64]
FEWEST_SIZES, LEAST_SPAN = 3, 8  # for a curve; fewer are joined by lines
MISFIT = 0.03  # of log step time: what a size is expected to lie off the curve for good
FLOORS = 12  # ends of a floor that are weighed, as much together as no floor
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
        return float(np.exp(np.log(self.draws([batch_size])).mean()))


def fit_step_curve(steps: Mapping[int, Mapping[int, float]]) -> StepCurve:
    """From steps[batch size][process], seconds; at least one.

    The curve is a line of the size, with a floor or without one; with fewer than three sizes that span a factor of
    eight it is a straight line through the measured times, which then are as uncertain as they scatter.
    """
    sizes = np.array(sorted(steps), dtype=float)
    processes = sorted(set().union(*(steps[int(size)] for size in sizes)))
    logs = np.log([[steps[int(size)].get(process, math.nan) for process in processes] for size in sizes])
    cells = Cells(logs, np.full(logs.shape, -np.inf))
    if len(sizes) < FEWEST_SIZES or sizes[-1] < LEAST_SPAN * sizes[0]:
        return _joined(sizes, cells)
    critical, ends, weights = _candidates(sizes)
    rows = np.log(np.maximum(1 + ends[:, None] / critical[:, None], 1 + sizes / critical[:, None]))
    draws = draw_laws(Shapes(rows, weights), cells, MISFIT, SEED)
    alpha, end = np.exp(draws.level), ends[draws.shape]
    beta = alpha / critical[draws.shape]
    return StepCurve(sizes, alpha, beta, np.where(end > 0, alpha + beta * end, 0.0), draws.misfit)


def _candidates(sizes: Array) -> tuple[Array, Array, Array]:
    """alpha / beta, the size up to which a floor holds (0: none), and the logarithm of the prior weight."""
    grid = critical_sizes(sizes)
    ends = np.concatenate([[0.0], np.exp(np.linspace(np.log(sizes[0]), np.log(sizes[-1]), FLOORS + 2)[1:-1])])
    weights = np.log(np.where(ends > 0, 0.5 / FLOORS, 0.5))
    critical = np.tile(grid, len(ends))
    return critical, np.repeat(ends, len(grid)), np.repeat(weights, len(grid)) + jeffreys(sizes, critical)


def _joined(sizes: Array, cells: Cells) -> StepCurve:
    """Of one or two sizes, or ones too near each other for a curve: only what they scatter is drawn."""
    flat = Shapes(np.zeros((1, len(sizes))), np.zeros(1))
    draws: Draws = draw_laws(flat, cells, 1.0, SEED)
    return StepCurve(sizes, np.exp(draws.level), np.zeros(len(draws.level)), np.zeros(len(draws.level)), draws.misfit)
