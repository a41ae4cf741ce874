"""The gradient noise scale: the batch size at which the gradient's noise is as large as the gradient."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastbs.analysis.student_t import t_quantile
from fastbs.results.record import NoiseDraw

Array = NDArray[np.float64]


@dataclass(frozen=True)
class NoiseScale:
    """tr(Sigma) / |G|^2 (images), Sigma the covariance of the gradient of one image, G its mean.

    The 95 % interval runs from `low` to `high`; where |G|^2 cannot be told from zero, `high` is infinite and only `low`
    is known. It approximates the critical batch size (McCandlish et al. 2018), and grows during training.

    G is the gradient of the loss over the training images, Sigma taken over them. With BatchNorm both are those of
    passes of the size that was drawn, and Sigma that size times the covariance of a pass.
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
    two-size estimator of McCandlish et al. 2018, appendix A, all K used), corrected for images that an epoch does not
    repeat. Their means over draws are divided, never the estimates of one draw: |G|^2 of a single draw may be negative.

    Augmentation, dropout and the company that images have under BatchNorm vary a gradient without the limit that the
    correction is for. How much of tr(Sigma) is theirs is not known, so the upper end is no lower than without it.
    """
    if not draws:
        raise ValueError("no draws, so no noise scale")
    gradient, trace = _all_estimates(draws)
    g, t = float(gradient.mean()), float(trace.mean())
    low, high = _interval(draws, gradient, trace)
    endless = [dataclasses.replace(draw, train_images=None) for draw in draws]
    high = max(high, _interval(draws, *_all_estimates(endless))[1])
    return NoiseScale(t / g if g > 0 else math.inf, low, high, g, t, len(draws))


def _interval(draws: Sequence[NoiseDraw], gradient: Array, trace: Array) -> tuple[float, float]:
    """95 % of it, from the estimates of each draw.

    It is that of the share of |gradient|^2 that averaging K micro-batches leaves, E|mean|^2 / E|one|^2: its logarithm
    is nearly normal, so the delete-one jackknife and Student's t hold from three draws on, where gradients are
    heavy-tailed too (Fieller's interval for the ratio itself is too short there). The share falls as the noise scale
    grows; 1/K and less is pure noise, and then the noise scale has no upper end.
    """
    n = len(draws)
    if n == 1:
        return 0.0, math.inf
    small = min(draw.micro_batch for draw in draws)
    large = min(draw.micro_batch * len(draw.squared_norms) for draw in draws)
    of_one, of_mean = gradient + trace / small, gradient + trace / large  # with unlike draws: as if they were these
    left_out = np.log((of_mean.sum() - of_mean) / (of_one.sum() - of_one))
    error = math.sqrt((n - 1) * float(left_out.var()))
    factor = math.exp(t_quantile(0.975, n - 1) * error)
    share = float(of_mean.mean() / of_one.mean())

    def from_share(share: float) -> float:
        return small * (1 - share) / (share - small / large) if share > small / large else math.inf

    low, high = from_share(min(1.0, share * factor)), from_share(share / factor)
    return 0.0 if math.isinf(low) else low, high


def _all_estimates(draws: Sequence[NoiseDraw]) -> tuple[Array, Array]:
    gradient, trace = (np.array(values) for values in zip(*map(_estimates, draws), strict=True))
    return gradient, trace


def _estimates(draw: NoiseDraw) -> tuple[float, float]:
    """|G|^2 and tr(Sigma) from one draw.

    The mean of n of N images without repetition varies by tr(Sigma) (1/n - 1/N), and two micro-batches of one epoch
    covary by -tr(Sigma)/N. Neglected, as in older draws, that takes tr(Sigma)/N off |G|^2: 10 % where the noise scale
    is a tenth of N, everything where it is N.
    """
    small, parts = draw.micro_batch, len(draw.squared_norms)
    of_one, of_mean = math.fsum(draw.squared_norms) / parts, draw.squared_norm_of_mean
    share = 1 / draw.train_images if draw.train_images else 0.0
    together = sum(own**2 for own in draw.epoch_parts) / parts**2  # of all pairs, those of one epoch
    one, mean = 1 / small - share, 1 / (small * parts) - share * together  # variances, in tr(Sigma)
    trace = (of_one - of_mean) / (one - mean)
    return of_one - trace * one, trace
