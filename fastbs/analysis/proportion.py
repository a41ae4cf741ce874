"""How well a fraction of finitely many images is known."""

from __future__ import annotations

import math

Z = 1.959963984540054  # the normal distribution's 97.5 % quantile


def wilson(k: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a probability of which `k` in `n` trials came true; ValueError without trials."""
    if not 0 <= k <= n or n == 0:
        raise ValueError(f"{k} of {n} is no proportion")
    return _wilson(k / n, n)


def sampling_error(top1: float, images: int) -> float:
    """Half-width of the 95 % interval of `top1` that the size of the validation set alone leaves, as a fraction.

    Other images of the same kind could have given so much more or less. Seeds do not show it: they share the images.
    """
    low, high = _wilson(top1, images)
    return (high - low) / 2


def _wilson(fraction: float, n: int) -> tuple[float, float]:
    shrink = 1 + Z * Z / n
    centre = (fraction + Z * Z / (2 * n)) / shrink
    half = Z / shrink * math.sqrt(fraction * (1 - fraction) / n + (Z / (2 * n)) ** 2)
    return max(0.0, centre - half), min(1.0, centre + half)
