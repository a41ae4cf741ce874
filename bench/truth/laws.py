"""Known truths: how a step's time follows the batch size, and how measurements scatter around the truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
StepLaw = Callable[[float], float]  # batch size -> seconds per step
Scatter = Callable[[np.random.Generator, int], Array]  # (rng, n) -> n deviations of mean 0 and standard deviation 1


@dataclass(frozen=True)
class Line:
    """max(host, alpha + beta * B), seconds."""

    alpha: float = 1.2e-3
    beta: float = 0.35e-3
    host: float = 0.0

    def __call__(self, batch_size: float) -> float:
        return max(self.host, self.alpha + self.beta * batch_size)


@dataclass(frozen=True)
class Power:
    """alpha + beta * B^power, seconds: larger batches use the machine better without end."""

    alpha: float = 1.2e-3
    beta: float = 0.35e-3
    power: float = 0.9

    def __call__(self, batch_size: float) -> float:
        return self.alpha + self.beta * batch_size**self.power


@dataclass(frozen=True)
class Cliffs:
    """A line on which every second power of two takes `height` longer, as with tiles or another algorithm."""

    alpha: float = 1.2e-3
    beta: float = 0.35e-3
    height: float = 0.15

    def __call__(self, batch_size: float) -> float:
        high = int(math.log2(batch_size)) % 2 == 1
        return (self.alpha + self.beta * batch_size) * (1 + self.height * high)


def normal(rng: np.random.Generator, n: int) -> Array:
    return rng.standard_normal(n)


def student_t3(rng: np.random.Generator, n: int) -> Array:
    """Student's t with 3 degrees of freedom, scaled to standard deviation 1."""
    return rng.standard_t(3, n) / math.sqrt(3)


def bimodal(rng: np.random.Generator, n: int) -> Array:
    """Two modes two standard deviations apart, as when an allocator or an algorithm choice falls one way or another."""
    sign = rng.choice([-1.0, 1.0], n)
    return np.asarray((sign + 0.1 * rng.standard_normal(n)) / math.sqrt(1.01))


def drift(rng: np.random.Generator, n: int) -> Array:
    """A machine that warms up: half of the variance is a straight line in the order of measurement."""
    line = np.linspace(-1, 1, n) * math.sqrt(3) if n > 1 else np.zeros(1)
    return np.asarray((rng.choice([-1.0, 1.0]) * line + rng.standard_normal(n)) / math.sqrt(2))


SCATTERS: Mapping[str, Scatter] = {"normal": normal, "t3": student_t3, "bimodal": bimodal, "drift": drift}


def correlated(rng: np.random.Generator, rows: int, n: int, correlation: float, scatter: Scatter = normal) -> Array:
    """(rows, n) deviations of standard deviation 1 that share a part over the rows: what a seed does to every size."""
    shared = scatter(rng, n)
    own = np.array([scatter(rng, n) for _ in range(rows)])
    return np.asarray(math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own)


def monte_carlo_error(share: float, n: int) -> float:
    """Standard error of a share counted in `n` trials."""
    return math.sqrt(share * (1 - share) / n) if n else math.nan
