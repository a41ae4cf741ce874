"""The noise scale from the norms of gradients and of their average, at one gradient per update: no batch is extra.

Let g be the gradient of an update, of squared length E|g|^2 = G^2 + V, with G^2 that of its mean and V the variance of
a batch, tr(Sigma) / B. The average m = (1 - beta) * sum of beta^k g_k over the gradients k updates ago keeps the mean
and, the noise of different batches being independent, shrinks the variance: E|m|^2 = G^2 + r V with
r = (1 - beta) / (1 + beta). From the two follow G^2, V and the noise scale B V / G^2.

Two things are biased, because weights move while the average is taken:

- m is as old as the mean age of what it averages, beta / (1 - beta) updates. So |m|^2 is compared with the |g|^2 of
  that many updates ago; a gradient that changes linearly is then no error, and one that decays by a share kappa per
  update one of kappa^2 beta / (1 - beta)^2.
- Noise moves the weights, and the gradients after it point back: it partly cancels itself within the average. For small
  rates, G^2 comes out too low, and V too high, by `feedback(...)`: exact to first order on a quadratic. So the noise
  scale is an upper end. `noise_scale`, from draws at frozen weights, has neither bias.

How far off? The rate that lowers the loss most at the next update is G^2 / (G'HG + tr(H Sigma) / B) for the average
(torch's rate over 1 - beta). By `feedback`, epsilon times that rate takes epsilon / (1 + beta) * x / (1 + x) of
G^2 away, with x = B_noise / B and B_noise = tr(H Sigma) / G'HG. At the best rate and a batch far below the noise scale
that is 0.53 of G^2 for beta = 0.9: the estimate is 2.1 times too high. From 1 + beta times the best rate on, G^2 comes
out negative, which gradients at weights that stay cannot give: seen beyond chance, this is `drift`, and no number is
given. So the running estimate is for rates well below the best one (a tenth: 6 % too high) and for batches that are
large against the noise scale; between those and drift, a number is given that is too high, twice and more near the best
rate. Halving the rate for some hundreds of updates tells: what changes with the rate is drift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastbs.analysis.student_t import t_quantile

FORGOTTEN = 0.1  # an average is used once no more than this share of it would come from before the first gradient
WINDOWS = 10  # in a block of the interval, at the least: a window is 1 / (1 - beta) updates, blocks must be independent
BLOCKS = 20  # at the most


@dataclass(frozen=True)
class RunningNoiseScale:
    """B V / G^2 (images) over the updates used, an upper end; 95 % interval `low` to `high`.

    Where G^2 cannot be told from zero, `high` is infinite; with fewer than three blocks of `WINDOWS` windows, `low` is
    0 too. The interval is that of chance alone: it does not hold the biases. Where there is drift, nothing is known.
    """

    images: float | None  # None where there is drift; inf where G^2 is not above zero
    low: float
    high: float
    drift: bool  # G^2 lies below zero with its whole interval: the weights move too fast for an average of gradients
    gradient_squared: float  # G^2
    trace: float  # tr(Sigma) = B V
    updates: int  # pairs of |g|^2 and |m|^2 used


def running_noise_scale(
    squared_gradients: Sequence[float],
    squared_averages: Sequence[float],
    *,
    beta: float,
    batch_size: int,
    first_update: int = 1,
) -> RunningNoiseScale:
    """From |g|^2 and |m|^2 of consecutive updates, the first of which was the run's `first_update`-th.

    m is the average that starts from zero and is not corrected for that (it is, here): Adam's `exp_avg`; for torch's
    momentum buffers see `squared_average`. Updates that were void (NaN) are left out; they count for `first_update`
    neither. ValueError without an average that has forgotten its start.
    """
    if not 0 < beta < 1:
        raise ValueError(f"beta is {beta}: without an average there is no running noise scale")
    g, m = np.asarray(squared_gradients, dtype=float), np.asarray(squared_averages, dtype=float)
    made = ~(np.isnan(g) | np.isnan(m))
    g, m = g[made], m[made]
    t = first_update + np.arange(len(g))
    left = beta**t  # the share of the average that is still its start, zero
    age = beta / (1 - beta) - t * left / (1 - left)
    moment = np.arange(len(g)) - age
    used = (left <= FORGOTTEN) & (moment >= 0)
    if not used.any():
        raise ValueError(f"{len(g)} updates: too few for an average of 1 / (1 - {beta:g}) gradients")
    g = np.interp(moment[used], np.arange(len(g)), g)
    m, left = m[used] / (1 - left[used]) ** 2, left[used]
    kept = (1 - beta) / (1 + beta)  # share of the variance that averaging leaves
    kept_of_each = kept * (1 + left) / (1 - left)
    mean = (m - kept_of_each * g) / (1 - kept_of_each)
    low, high, drift = _interval(mean, g, kept, beta, batch_size)
    gradient_squared, trace = float(mean.mean()), batch_size * float((g - mean).mean())
    images = trace / gradient_squared if gradient_squared > 0 else math.inf
    return RunningNoiseScale(None if drift else images, low, high, drift, gradient_squared, trace, len(g))


def squared_average(squared_buffer: float, beta: float, dampening: float = 0.0) -> float:
    """|m|^2 from the square of torch's momentum buffer, which adds up gradients (1 - dampening each) and averages none.

    With dampening, the first gradient of a run counts in full: exact once it is forgotten.
    """
    return squared_buffer * ((1 - beta) / (1 - dampening)) ** 2


def feedback(rate: float, beta: float, noise_curvature: float, *, nesterov: bool = False) -> float:
    """What G^2 comes out too low by, and V too high, to first order in the rate, under SGD with momentum.

    `noise_curvature` is tr(H Sigma) / B, curvature times the variance of a batch's gradient, summed over directions;
    `rate` is torch's, whose buffer adds up gradients. Noise epsilon changes the gradient k updates later by
    -rate * H * epsilon * (1 + beta + ... + beta^(k-1)); that, weighted as m weights it, gives
    rate / (1 - beta^2) * tr(H Sigma) / B. Nesterov's sum has a term more: times 1 + beta - beta^2.
    """
    return rate / (1 - beta**2) * noise_curvature * (1 + beta - beta**2 if nesterov else 1.0)


def _interval(mean: np.ndarray, g: np.ndarray, kept: float, beta: float, batch_size: int) -> tuple[float, float, bool]:
    """Low, high and drift: as in `noise_scale` a jackknife of log E|m|^2 / E|g|^2, over blocks of consecutive updates.

    Gradients that are independent have a share E|m|^2 / E|g|^2 of `kept` at the least.
    """
    blocks = min(BLOCKS, int(len(g) * (1 - beta) / WINDOWS))
    if blocks < 3:
        return 0.0, math.inf, False
    of_mean = np.array([part.sum() for part in np.array_split(mean, blocks)])
    of_one = np.array([part.sum() for part in np.array_split(g, blocks)])
    averaged = of_mean + kept * (of_one - of_mean)
    left_out = np.log((averaged.sum() - averaged) / (of_one.sum() - of_one))
    error = math.sqrt((blocks - 1) * float(left_out.var()))
    factor = math.exp(t_quantile(0.975, blocks - 1) * error)
    share = float(averaged.sum() / of_one.sum())

    def from_share(share: float) -> float:
        return batch_size * (1 - share) / (share - kept) if share > kept else math.inf

    drift = share * factor <= kept
    low, high = from_share(min(1.0, share * factor)), from_share(share / factor)
    return 0.0 if drift else low, high, drift
