"""The batch size that reaches a target soonest, and the range of sizes that are nearly as good."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

TOLERANCE = 0.05
STEPS_PER_DOUBLING = 64

Function = Callable[[float], float]


@dataclass(frozen=True)
class Optimum:
    """The least of a cost over batch sizes. Between `low` and `high` it is at most `tolerance` above the least."""

    batch_size: float
    cost: float
    low: float
    high: float
    at_edge: Literal["smallest", "largest"] | None  # the least lies at an end of what was looked at


def find_optimum(cost: Function, smallest: float, largest: float, tolerance: float = TOLERANCE) -> Optimum:
    """The least of `cost` over batch sizes from `smallest` to `largest`, by a logarithmic grid and a golden section.

    `cost` may have kinks (a floor, residuals of measured points). The range is the stretch around the optimum
    in which no grid point is worse than the tolerance, its ends refined by bisection.
    """
    if not 0 < smallest <= largest:
        raise ValueError(f"no batch sizes from {smallest:g} to {largest:g}")
    points = max(2, math.ceil(STEPS_PER_DOUBLING * math.log2(largest / smallest)) + 1)
    grid = [float(size) for size in np.geomspace(smallest, largest, points)]
    costs = [cost(size) for size in grid]
    best = costs.index(min(costs))
    size = _golden(cost, grid[max(0, best - 1)], grid[min(points - 1, best + 1)])
    size = min((size, grid[best]), key=cost)
    least, limit = cost(size), cost(size) * (1 + tolerance)
    below = next((i for i in range(best, -1, -1) if costs[i] > limit), None)
    above = next((i for i in range(best, points) if costs[i] > limit), None)
    edges: dict[int, Literal["smallest", "largest"]] = {0: "smallest", points - 1: "largest"}
    return Optimum(
        batch_size=size,
        cost=least,
        low=grid[0] if below is None else _crossing(cost, limit, outside=grid[below], inside=grid[below + 1]),
        high=grid[-1] if above is None else _crossing(cost, limit, outside=grid[above], inside=grid[above - 1]),
        at_edge=edges.get(best),
    )


def closed_form(b_crit: float, b_half: float) -> float:
    """sqrt(B_crit B_half) (images): where (s_min + e_min / B)(alpha + beta B) is least. No floor, one line."""
    return math.sqrt(b_crit * b_half)


def _golden(cost: Function, low: float, high: float) -> float:
    """Where a function with one valley in [low, high] is least, to a relative 1e-9."""
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = cost(left), cost(right)
    while high - low > 1e-9 * high:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = cost(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = cost(right)
    return (low + high) / 2


def _crossing(cost: Function, limit: float, *, outside: float, inside: float) -> float:
    """The last size from `inside` on at which the cost is within the limit."""
    for _ in range(60):
        middle = math.sqrt(outside * inside)
        outside, inside = (middle, inside) if cost(middle) > limit else (outside, middle)
    return inside
