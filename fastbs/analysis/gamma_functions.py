"""Derivatives of the logarithm of the gamma function, without scipy."""

from __future__ import annotations

import math

LARGE = 10.0  # from here on the asymptotic series is exact to 1e-13


def digamma(x: float) -> float:
    """d/dx ln gamma(x) for x > 0 (Abramowitz and Stegun 6.3.5, 6.3.18)."""
    below = 0.0
    while x < LARGE:
        below += 1 / x
        x += 1
    y = 1 / (x * x)
    series = y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y * (1 / 132 - y * 691 / 32760)))))
    return math.log(x) - 0.5 / x - series - below


def trigamma(x: float) -> float:
    """The derivative of digamma for x > 0 (Abramowitz and Stegun 6.4.6, 6.4.12)."""
    below = 0.0
    while x < LARGE:
        below += 1 / (x * x)
        x += 1
    y = 1 / (x * x)
    series = y * (1 / 6 - y * (1 / 30 - y * (1 / 42 - y * (1 / 30 - y * (5 / 66 - y * 691 / 2730)))))
    return below + (1 + series) / x + y / 2


def trigamma_inverse(value: float) -> float:
    """x > 0 with trigamma(x) = value > 0. Bisection on the logarithm of x, exact to 1e-12 of x."""
    low, high = -40.0, 40.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if trigamma(math.exp(middle)) > value else (low, middle)
    return math.exp((low + high) / 2)
