"""How much the images to the target of a tuned size may be off because noisy trials chose its rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
USUAL = 0.08  # where the trials do not tell
GRID = np.linspace(-3, 3, 241)  # of the best rate around the middle of the trials, in half-widths of these
LEAST_SPARE = 4  # trials beyond the parameters


def rate_error(tuning: Sequence[Mapping[str, Any]]) -> float:
    """Standard deviation over sizes of what the chosen rate costs above the best one, in logarithms of images.

    log images = a[size] + c (log rate - best[size])^2 with one curvature c for all sizes, by least squares over the
    trials that reached the target. What each chosen rate costs is drawn from what its own trials leave open of the
    best rate. `USUAL` where too few trials reached it or the curvature is not above 0.
    """
    trials = [(np.array(x), np.array(y), chosen) for x, y, chosen in map(_trials, tuning) if len(x) > 2]
    spare = sum(len(x) for x, _, _ in trials) - 2 * len(trials) - 1
    if spare < LEAST_SPARE:
        return USUAL
    curvature, noise = _curvature(trials, spare)
    if curvature <= 0:
        return USUAL
    costs = [_cost(x, y, chosen, curvature, noise) for x, y, chosen in trials]
    means = [mean for mean, _ in costs]
    return math.sqrt(float(np.mean([variance for _, variance in costs]) + np.var(means)))


def _trials(search: Mapping[str, Any]) -> tuple[list[float], list[float], float]:
    """Logarithms of rates and of images, of the trials that reached the target, and of the rate that was chosen."""
    reached = [trial for trial in search["trials"] if trial["score"] == "images_to_target" and trial["value"]]
    rates, images = [math.log(trial["lr"]) for trial in reached], [math.log(trial["value"]) for trial in reached]
    return rates, images, math.log(search["lr"])


def _curvature(trials: Sequence[tuple[Array, Array, float]], spare: int) -> tuple[float, float]:
    """c, and the variance of a trial: y and x^2 less what a line of the size's own explains, one through the other."""
    bent = np.concatenate([_off_line(x, x**2) for x, _, _ in trials])
    off = np.concatenate([_off_line(x, y) for x, y, _ in trials])
    curvature = float(bent @ off / (bent @ bent))
    return curvature, float(((off - curvature * bent) ** 2).sum()) / spare


def _off_line(x: Array, y: Array) -> Array:
    x, y = x - x.mean(), y - y.mean()
    rest: Array = y - x * float(x @ y / (x @ x))
    return rest


def _cost(x: Array, y: Array, chosen: float, curvature: float, noise: float) -> tuple[float, float]:
    """Mean and variance of c (chosen - best)^2 over the best rates that the trials of a size leave open."""
    middle, half = (x.min() + x.max()) / 2, (x.max() - x.min()) / 2
    best = middle + half * GRID
    off = y - curvature * (x - best[:, None]) ** 2
    squares = ((off - off.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    weights = np.exp(-(squares - squares.min()) / (2 * noise + 1e-12))
    weights /= weights.sum()
    cost = curvature * (chosen - best) ** 2
    mean = float(weights @ cost)
    return mean, float(weights @ (cost - mean) ** 2)
