"""The recommended batch size: the smallest that is as good as the fastest, as far as the evidence tells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastbs.analysis.advice.curve import Curve
from fastbs.analysis.advice.limits import Costs
from fastbs.analysis.advice.prices import Prices
from fastbs.analysis.optimum import TOLERANCE, Optimum, find_optimum

SURE = 0.9  # part of the laws that may be true in which a recommended size is within the tolerance
POINTS_PER_DOUBLING = 16


@dataclass(frozen=True)
class Choice:
    batch_size: int
    low: int  # sizes from here ...
    high: int  # ... to here are within the tolerance of the fastest
    optimum: Optimum | None  # of the curve, its cost up to a factor; None where only measured sizes were compared
    sure: float | None  # part of the laws in which the size is within the tolerance


def choose(prices: Prices) -> Choice | None:
    """The recommendation within the limits; None where no size keeps them all.

    On a curve the smallest size is taken that is within 5 % of the fastest under nine of ten laws that may be true (the
    law's replicates): the edge of the range itself would be beyond it in every second case. Where none is so sure, the
    size that is so under most of them. Without a curve the smallest of the measured sizes within 5 % of the fastest.
    """
    kept = [size for size in prices.candidates if prices.limits.hold(prices.costs(size))]
    if not kept:
        return None
    return _on_curve(prices, prices.curve, kept) if isinstance(prices.curve, Curve) else _of_measured(prices, kept)


def _of_measured(prices: Prices, kept: Sequence[int]) -> Choice:
    seconds = {size: found for size in kept if (found := prices.seconds(size)) is not None}
    limit = min(seconds.values()) * (1 + TOLERANCE)
    within = [size for size in kept if seconds[size] <= limit]
    return Choice(within[0], within[0], within[-1], None, None)


def _on_curve(prices: Prices, curve: Curve, kept: Sequence[int]) -> Choice:
    def cost(batch_size: float) -> float:
        return prices.weight(batch_size) if prices.limits.hold(prices.costs(batch_size)) else math.inf

    optimum = find_optimum(cost, curve.smallest, curve.largest)
    limit = optimum.cost * (1 + TOLERANCE)
    held = [size for size in _grid(curve) if cost(size) < math.inf]
    least = min(cost(size) for size in kept)
    if least > limit:  # it lies at a limit, far from every usual size: those are compared among themselves
        optimum = find_optimum(cost, curve.smallest, curve.largest, least * (1 + TOLERANCE) / optimum.cost - 1)
        held = []
    shares = _shares(prices, curve, held, kept)
    sure = [size for size in kept if shares[size] >= SURE]
    chosen = sure[0] if sure else max(kept, key=lambda size: (shares[size], -cost(size), -size))
    low, high = math.ceil(optimum.low), math.floor(optimum.high)
    return Choice(chosen, min(low, chosen), max(high, chosen), optimum, shares[chosen])


def _grid(curve: Curve) -> list[float]:
    points = 2 + math.ceil(POINTS_PER_DOUBLING * math.log2(curve.largest / curve.smallest))
    return [float(size) for size in np.geomspace(curve.smallest, curve.largest, points)]


def _shares(prices: Prices, curve: Curve, held: Sequence[float], kept: Sequence[int]) -> dict[int, float]:
    """Part of what may be true, laws and step times, under which each kept size is within the tolerance of the least.

    Of all sizes that keep the limits.
    """
    e_min, s_min = np.array([curve.law, *curve.replicates]).T[:, :, None]
    every = np.array([*held, *kept], dtype=float)
    drawn = curve.step_factors(every.tolist(), len(curve.replicates))
    factors = np.vstack([np.ones(len(every)), drawn])
    costs = (s_min + e_min / every) * [curve.step_seconds(size) for size in every] * factors
    at_least = [prices.measured_weights.get(int(size), 0.0) if size == int(size) else 0.0 for size in every]
    costs = np.where([curve.covers(size) for size in every], np.maximum(costs, at_least), at_least)
    within = costs[:, len(held) :] <= costs.min(axis=1, keepdims=True) * (1 + TOLERANCE)
    return dict(zip(kept, within.mean(axis=0).tolist(), strict=True))


def what_would_have_to_give(prices: Prices) -> list[tuple[str, float, int]]:
    """For each limit the least value with which some size keeps them all, if the others stay, and that size.

    Where no single limit helps, what all of them would have to be for the size that is fastest without any.
    """
    asked = prices.limits.asked()
    costs = {size: prices.costs(size).by_limit() for size in prices.candidates}
    found = []
    for name in asked:
        others = {
            size: own[name]
            for size, own in costs.items()
            if own[name] is not None
            and all((value := own[other]) is not None and value <= asked[other] for other in asked if other != name)
        }
        if others:
            size = min(others, key=lambda size: (others[size] or 0.0, size))
            found.append((name, float(others[size] or 0.0), size))
    return found or _together(asked, costs)


def _together(asked: dict[str, float], costs: dict[int, dict[str, float | None]]) -> list[tuple[str, float, int]]:
    known = {size: own for size, own in costs.items() if all(own[name] is not None for name in asked)}
    if not known:
        return []
    size = min(known, key=lambda size: max((known[size][name] or 0.0) / asked[name] for name in asked))
    return [(name, float(known[size][name] or 0.0), size) for name in asked if (known[size][name] or 0.0) > asked[name]]


def binding(prices: Prices, free: Choice | None) -> str | None:
    """The limit that the size recommended without limits breaks most; None where it keeps them all."""
    if free is None:
        return None
    costs: Costs = prices.costs(free.batch_size)
    broken = [name for name, holds in prices.limits.kept(costs).items() if not holds]
    asked, values = prices.limits.asked(), costs.by_limit()
    return max(broken, key=lambda name: (values[name] or math.inf) / asked[name], default=None)
