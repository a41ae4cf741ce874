"""How long it takes to reach a target at a batch size, and how sure that is: images to target times step time."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fastbs.analysis.interval import Interval
from fastbs.analysis.noise_scale import NoiseScale
from fastbs.analysis.optimum import Function, find_optimum
from fastbs.analysis.samples_to_target import TAIL, SamplesFit
from fastbs.analysis.step_time import StepTimeFit

Array = NDArray[np.float64]
SIZES_PER_DOUBLING = 32  # that a replicate's optimum is looked for among


def seconds_to_target(samples: SamplesFit, step_seconds: Function) -> Function:
    """T(B) = S(B) t(B): what the fastest size is the least of. The samples' unit must be images."""
    return lambda batch_size: samples.updates(batch_size) * step_seconds(batch_size)


def predict(
    samples: SamplesFit, step: StepTimeFit, batch_size: float, step_seconds: Function | None = None
) -> Interval:
    """Seconds to the target at a batch size with a 95 % interval, wide where the samples are extrapolated.

    `step_seconds` replaces the fitted step time (measured sizes joined by lines); its error stays that of the fit. Of
    steps that fewer than two processes measured no error is known, and the interval is that of the images alone.
    """
    seconds = (step_seconds or step.seconds)(batch_size)
    return _times(samples.band(batch_size), seconds / batch_size, _error(step, lambda fit: fit.seconds(batch_size)))


def optimum_interval(
    samples: SamplesFit, step: StepTimeFit, smallest: float, largest: float, step_seconds: Function | None = None
) -> Interval:
    """The fastest batch size from `smallest` to `largest`, and between which sizes it lies with 95 % confidence.

    Every replicate of the samples has its own, with a step time drawn as its processes scatter. An end of the interval
    at an end of what was looked at means that it may lie beyond.
    """
    at = step_seconds or step.seconds
    best = find_optimum(seconds_to_target(samples, at), smallest, largest).batch_size
    points = 2 + math.ceil(SIZES_PER_DOUBLING * math.log2(largest / smallest))
    sizes = np.geomspace(smallest, largest, points)
    e_min, s_min = np.array(samples.replicates).T
    updates = s_min[:, None] + e_min[:, None] / sizes
    steps = np.array([at(float(size)) for size in sizes]) * _drawn_errors(step, sizes, len(e_min))
    found = sizes[np.argmin(updates * steps, axis=1)]
    found.sort()
    tail = int(TAIL * len(found))
    low, high = min(best, float(found[tail])), max(best, float(found[-1 - tail]))
    return Interval(low, best, high, len(samples.batch_sizes))


def relative_seconds(
    noise: NoiseScale,
    step: StepTimeFit,
    batch_size: float,
    reference: float,
    step_seconds: Function | None = None,
) -> Interval:
    """T(batch_size) / T(reference) from the noise scale in the place of B_crit, with its 95 % interval.

    No run to the target is needed, and so no number of seconds is promised. The interval covers the errors of noise
    scale and step time, not how well the one stands for B_crit.
    """
    at = step_seconds or step.seconds
    ratio = at(batch_size) / at(reference)
    updates = [_relative_updates(phi, batch_size, reference) for phi in (noise.low, noise.images, noise.high)]
    count = Interval(min(updates), updates[1], max(updates), noise.draws)
    return _times(count, ratio, _error(step, lambda fit: fit.seconds(batch_size) / fit.seconds(reference)))


def optimum_from_noise(
    noise: NoiseScale, step: StepTimeFit, smallest: float, largest: float, step_seconds: Function | None = None
) -> Interval:
    """The fastest batch size if B_crit is the noise scale, and its range over the noise scale's interval.

    Larger noise scales ask for larger batches, so the ends belong to each other.
    """
    at = step_seconds or step.seconds

    def best(phi: float) -> float:
        return find_optimum(lambda b: _relative_updates(phi, b, smallest) * at(b), smallest, largest).batch_size

    low, found, high = (best(phi) for phi in (noise.low, noise.images, noise.high))
    return Interval(low, found, high, noise.draws)


def _relative_updates(phi: float, batch_size: float, reference: float) -> float:
    """S(batch_size) / S(reference) with S = 1 + phi / B; in proportion to 1 / B where phi is infinite."""
    if math.isinf(phi):
        return reference / batch_size
    return (1 + phi / batch_size) / (1 + phi / reference)


def _error(step: StepTimeFit, quantity: Callable[[StepTimeFit], float]) -> float:
    """Half of the 95 % interval of the logarithm of a quantity of the step time; 0 where processes leave it unknown."""
    interval = step.interval(quantity)
    return math.log(interval.high / interval.estimate) if interval.bounded else 0.0


def _times(value: Interval, factor: float, error: float) -> Interval:
    """value x factor, for a value not below 0 and an independent error of the factor's logarithm."""
    down = math.exp(-math.hypot(math.log(value.estimate / value.low), error)) if value.low > 0 else 0.0
    up = math.exp(math.hypot(math.log(value.high / value.estimate), error)) if math.isfinite(value.high) else math.inf
    estimate = value.estimate * factor
    return Interval(estimate * down, estimate, estimate * up, value.n)


def _drawn_errors(step: StepTimeFit, sizes: Array, count: int) -> Array:
    """(count, sizes) factors by which the step time may be off, drawn as its processes scatter; 1 without processes.

    Each is a random mixture of what the processes differ by, so that errors at neighbouring sizes belong together; its
    spread is that of a mean over processes by Student's t.
    """
    n = len(step.processes)
    if n < 2:
        return np.ones((count, len(sizes)))
    logs = np.log([[fit.seconds(float(size)) for size in sizes] for fit in step.processes])
    rng = np.random.default_rng(0)
    spread = 1 / np.sqrt(n * rng.chisquare(n - 1, (count, 1)))
    mixture: Array = np.exp(spread * rng.standard_normal((count, n)) @ (logs - logs.mean(axis=0)))
    return mixture
