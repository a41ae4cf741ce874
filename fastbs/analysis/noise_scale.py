"""The gradient noise scale: the batch size at which the gradient's noise is as large as the gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastbs.analysis.student_t import t_quantile
from fastbs.results.record import NoiseDraw


@dataclass(frozen=True)
class NoiseScale:
    """tr(Sigma) / |G|^2 (images), Sigma the covariance of the gradient of one image, G its mean.

    The 95 % interval runs from `low` to `high`; where |G|^2 cannot be told from zero, `high` is infinite and only `low`
    is known. It approximates the critical batch size (McCandlish et al. 2018), and grows during training.
    """

    images: float  # ratio of means over the draws; inf where the mean of |G|^2 is not above zero
    low: float
    high: float
    gradient_squared: float  # |G|^2, mean over draws
    trace: float  # tr(Sigma), mean over draws
    draws: int

    @property
    def lower_bound_only(self) -> bool:
        return math.isinf(self.high)


def noise_scale(draws: Sequence[NoiseDraw]) -> NoiseScale:
    """The noise scale from draws at one or several points of training. ValueError without a draw.

    Each draw gives unbiased estimates of |G|^2 and tr(Sigma) from the norms of K micro-batches and of their mean (the
    two-size estimator of McCandlish et al. 2018, appendix A, all K used). Their means over draws are divided, never the
    estimates of one draw: |G|^2 of a single draw may be negative. The interval is Fieller's for a ratio of means, with
    the delete-one jackknife's variances (for a mean, the usual ones) and Student's t over the draws: unlike the
    jackknife of the ratio itself it stays true when |G|^2 is nearly zero, and then has no upper end.
    """
    if not draws:
        raise ValueError("no draws, so no noise scale")
    gradient, trace = (np.array(values) for values in zip(*map(_estimates, draws), strict=True))
    n, g, t = len(draws), float(gradient.mean()), float(trace.mean())
    images = t / g if g > 0 else math.inf
    if n == 1:
        return NoiseScale(images, 0.0, math.inf, g, t, n)
    low, high = _fieller(g, t, np.cov(gradient, trace) / n, t_quantile(0.975, n - 1))
    return NoiseScale(images, low, high, g, t, n)


def _estimates(draw: NoiseDraw) -> tuple[float, float]:
    """|G|^2 and tr(Sigma) from one draw."""
    small, parts = draw.micro_batch, len(draw.squared_norms)
    large = small * parts
    of_one, of_mean = math.fsum(draw.squared_norms) / parts, draw.squared_norm_of_mean
    return (large * of_mean - small * of_one) / (large - small), (of_one - of_mean) / (1 / small - 1 / large)


def _fieller(
    g: float, t: float, covariance: np.ndarray[tuple[int, int], np.dtype[np.float64]], z: float
) -> tuple[float, float]:
    """All ratios R for which t - R g is within z standard errors of zero, as far as they are above 0."""
    a = g * g - z * z * float(covariance[0, 0])
    b = g * t - z * z * float(covariance[0, 1])
    c = t * t - z * z * float(covariance[1, 1])
    root = math.sqrt(max(0.0, b * b - a * c))
    if a > 0 and g > 0:
        return max(0.0, (b - root) / a), (b + root) / a
    known = a < 0 < c and t > 0  # else the noise cannot be told from zero either, or |G|^2 came out negative by luck
    return (b - root) / a if known else 0.0, math.inf
