"""The recommended batch size: the one that is expected to be the fastest, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastbs.analysis.advice.curve import Curve
from fastbs.analysis.advice.limits import Costs
from fastbs.analysis.advice.prices import Prices
from fastbs.analysis.optimum import TOLERANCE, Optimum, find_optimum

SURE = 0.9  # certainty below which more seeds are worth a word
RANGE_LEVEL = 0.8  # certainty for every size of the range
AS_GOOD = 0.005  # of expected time, that a smaller size may take longer: it is the safer one for generalisation
WORTH = 0.025  # of expected time: an unusual size (neither measured nor a power of two) must save more
POINTS_PER_DOUBLING = 16


@dataclass(frozen=True)
class Choice:
    batch_size: int
    low: int  # each size from here ...
    high: int  # ... to here is within the tolerance of the fastest, with the certainty `level`
    optimum: Optimum | None  # of the curve, its cost up to a factor; None where only measured sizes were compared
    sure: (
        float | None
    )  # probability that the size is within the tolerance of the fastest; None from a noise scale alone
    level: float | None


def choose(prices: Prices) -> Choice | None:
    """The recommendation within the limits; None where no size keeps them all.

    On a curve the size with the least expected loss against the fastest, over everything that may be true (the draws of
    the curve), or the smallest usual one that loses hardly more (see `_least`). Without a curve the smallest of the
    measured sizes within 5 % of the fastest.
    """
    kept = [size for size in prices.candidates if prices.limits.hold(prices.costs(size))]
    if not kept:
        return None
    return _on_curve(prices, prices.curve, kept) if isinstance(prices.curve, Curve) else _of_measured(prices, kept)


def _of_measured(prices: Prices, kept: Sequence[int]) -> Choice:
    seconds = {size: found for size in kept if (found := prices.seconds(size)) is not None}
    limit = min(seconds.values()) * (1 + TOLERANCE)
    within = [size for size in kept if seconds[size] <= limit]
    return Choice(within[0], within[0], within[-1], None, None, None)


def _on_curve(prices: Prices, curve: Curve, kept: Sequence[int]) -> Choice:
    def cost(batch_size: float) -> float:
        return prices.weight(batch_size) if prices.limits.hold(prices.costs(batch_size)) else math.inf

    if not prices.limits.asked():
        kept = sorted({*kept, *_between_usual(prices, curve)})
    optimum = find_optimum(cost, curve.smallest, curve.largest)
    held = [size for size in _grid(curve) if cost(size) < math.inf]
    least = min(cost(size) for size in kept)
    if least > optimum.cost * (1 + TOLERANCE):  # it lies at a limit, far from every usual size: those are compared
        optimum = find_optimum(cost, curve.smallest, curve.largest, least * (1 + TOLERANCE) / optimum.cost - 1)
        held = []
    losses = _losses(prices, curve, [*held, *kept])
    expected = dict(zip(kept, losses[:, len(held) :].mean(axis=0).tolist(), strict=True))
    chosen = _least(expected, set(prices.candidates) & set(kept))
    within = (losses <= math.log1p(TOLERANCE)).mean(axis=0)
    sure = float(within[len(held) + kept.index(chosen)])
    level = min(RANGE_LEVEL, sure)
    low, high = _stretch(held, within[: len(held)] >= level, chosen)
    if curve.source == "noise scale":  # how well one stands for B_crit is in no draw, so nothing of this is certain
        return Choice(chosen, low, high, optimum, None, None)
    return Choice(chosen, low, high, optimum, sure, level)


def _between_usual(prices: Prices, curve: Curve) -> list[int]:
    """Sixteen sizes from each power of two to the next."""
    powers = [2**k for k in range(4, int(curve.largest).bit_length())]
    return [size for power in powers for size in range(power, 2 * power, power // 16) if prices.may_be_used(size)]


def _least(expected: Mapping[int, float], usual: set[int]) -> int:
    """The least expected loss: a usual size where that costs hardly more, and of those the smallest."""
    least = min(expected.values())
    near = [size for size in usual if expected[size] <= least + WORTH]
    if near:
        return min(size for size in usual if expected[size] <= min(expected[near] for near in usual) + AS_GOOD)
    return min(expected, key=lambda size: (expected[size], size))


def _grid(curve: Curve) -> list[float]:
    points = 2 + math.ceil(POINTS_PER_DOUBLING * math.log2(curve.largest / curve.smallest))
    return [float(size) for size in np.geomspace(curve.smallest, curve.largest, points)]


def _losses(prices: Prices, curve: Curve, batch_sizes: Sequence[float]) -> NDArray[np.float64]:
    """(draw, size): logarithm of each size's time over the least of them all, for all that may be true.

    Sizes of which the curve does not know all cost at least what was measured.
    """
    at_least = [prices.measured_weights.get(int(size), 0.0) if size == int(size) else 0.0 for size in batch_sizes]
    covered = [curve.covers(size) for size in batch_sizes]
    costs = np.log(np.where(covered, np.maximum(curve.draws(batch_sizes), at_least), at_least))
    losses: NDArray[np.float64] = costs - costs.min(axis=1, keepdims=True)
    return losses


def _stretch(sizes: Sequence[float], good: NDArray[np.bool_], chosen: int) -> tuple[int, int]:
    """The whole sizes around `chosen` up to which all of `sizes` are good."""
    low = high = float(chosen)
    for size, fine in sorted(zip(sizes, good, strict=True), reverse=True):
        if size < chosen:
            if not fine:
                break
            low = size
    for size, fine in zip(sizes, good, strict=True):
        if size > chosen:
            if not fine:
                break
            high = size
    return min(math.ceil(low), chosen), max(math.floor(high), chosen)


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
