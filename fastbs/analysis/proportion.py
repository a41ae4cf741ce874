"""How well a fraction of finitely many images is known."""

from __future__ import annotations

import math

Z = 1.959963984540054  # the normal distribution's 97.5 % quantile


def sampling_error(top1: float, images: int) -> float:
    """Half-width of Wilson's 95 % interval of `top1` that the size of the validation set alone leaves, as a fraction.

    Other images of the same kind could have given so much more or less. Seeds do not show it: they share the images.
    """
    return Z / (1 + Z * Z / images) * math.sqrt(top1 * (1 - top1) / images + (Z / (2 * images)) ** 2)
