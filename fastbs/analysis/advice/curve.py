"""Time to the target at any batch size: the law of the images times the step time."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fastbs.analysis.advice.material import Material
from fastbs.analysis.interval import Interval
from fastbs.analysis.noise_scale import NoiseScale
from fastbs.analysis.optimum import Function
from fastbs.analysis.samples_to_target import TAIL, SamplesFit, fit_samples_to_target

POOR_FIT = 0.1  # rms of log residuals above which the law is not believed, unless the seeds scatter as much
QUANTILES = [k / 20 for k in range(1, 20)]
BEYOND = 2  # times the sizes that trained, as far as the law is followed

Law = tuple[float, float]  # e_min images and s_min updates, or in proportion to them


@dataclass(frozen=True)
class Curve:
    """T(B) = scale S(B) t(B) for batch sizes from `smallest` to `largest`."""

    source: Literal["fit", "noise scale"]  # of the law
    law: Law
    replicates: tuple[Law, ...]  # laws that may be true as well
    step_seconds: Function
    step_factors: Callable[[Sequence[float], int], NDArray[np.float64]]  # (sizes, n) -> (n, sizes), see Material
    scale: float | None  # from S(B) t(B) to training seconds, input wait and all; None: nothing in seconds is known
    image_scale: float | None  # likewise, from the law's unit to images
    smallest: float
    largest: float
    samples: SamplesFit | None  # None: the law is that of the noise scale
    noise: NoiseScale | None

    def shape(self, batch_size: float, law: Law | None = None) -> float:
        """Time to the target up to a factor."""
        e_min, s_min = law or self.law
        return (s_min + e_min / batch_size) * self.step_seconds(batch_size)

    def seconds(self, batch_size: float) -> float | None:
        return None if self.scale is None else self.scale * self.shape(batch_size)

    def images(self, batch_size: float) -> float | None:
        e_min, s_min = self.law
        return None if self.image_scale is None else self.image_scale * (e_min + s_min * batch_size)

    def covers(self, batch_size: float) -> bool:
        return self.smallest <= batch_size <= self.largest

    def seconds_interval(self, batch_size: float) -> Interval | None:
        """95 % over the laws and step times that may be true; None from a pilot, which says nothing of the seeds."""
        if self.scale is None or self.samples is None:
            return None
        factors = self.step_factors([batch_size], len(self.replicates))[:, 0]
        laws = zip(self.replicates, factors, strict=True)
        values = sorted(self.scale * self.shape(batch_size, law) * float(factor) for law, factor in laws)
        estimate, tail = self.scale * self.shape(batch_size), int(TAIL * len(values))
        return Interval(min(estimate, values[tail]), estimate, max(estimate, values[-1 - tail]), len(values))

    @property
    def b_crit(self) -> Interval:
        """Critical batch size of the law; the noise scale where that stands for it."""
        if self.samples is not None:
            return self.samples.b_crit_interval
        assert self.noise is not None
        return Interval(self.noise.low, self.noise.images, self.noise.high, self.noise.draws)


def make_curve(material: Material) -> Curve | str:
    """The curve, or the sentence that says why there is none. It ends at sizes that can be counted on."""
    if not material.step_means:
        return "no step was timed"
    found = fit_law(material)
    alone = len([size for size in material.sizes if size.reliable]) < 2 and not material.raced
    samples = found if isinstance(found, SamplesFit) else None
    noise = material.noise if alone and samples is None else None
    if samples:
        law, replicates = (samples.e_min, samples.s_min), samples.replicates
        end = BEYOND if not samples.breaks_law_at else 1
        smallest, largest = _within_reach(material, samples.batch_sizes[0] / BEYOND, end * samples.batch_sizes[-1])
    elif noise and usable(noise):
        law, replicates = (_believed(noise), 1.0), tuple((phi, 1.0) for phi in _spread(noise))
        smallest, largest = _within_reach(material, 0.0, math.inf)
    else:
        return str(found)
    unscaled = Curve(
        "fit" if samples else "noise scale",
        law,
        replicates,
        material.step_seconds,
        material.step_factors,
        None,
        None,
        smallest,
        largest,
        samples,
        noise,
    )
    return _scaled(unscaled, material)


def fit_law(material: Material) -> SamplesFit | str:
    """The images that the sizes without a miss needed; a sentence where they are too few or do not follow the law."""
    whole = [size for size in material.sizes if size.all_reached]
    seeds = [list(size.images_by_seed.values()) for size in whole]
    try:
        fit = fit_samples_to_target([size.batch_size for size in whole], seeds, single_runs=True)
    except ValueError as error:
        return f"{len(whole)} batch sizes reached the target in every run; the law {error}"
    if fit.rms_log_residual > max(POOR_FIT, 2 * _error_of_means(seeds)):
        return f"the images to the target do not follow the law (rms {100 * fit.rms_log_residual:.0f} %)"
    return fit


def _error_of_means(seeds: Sequence[Sequence[float]]) -> float:
    """What the seeds' scatter leaves open of a size's mean of logarithms; 0 where no size has two."""
    errors = [statistics.variance(map(math.log, own)) / len(own) for own in seeds if len(own) > 1]
    return math.sqrt(statistics.fmean(errors)) if errors else 0.0


def usable(noise: NoiseScale) -> bool:
    """It has an estimate, or at least a lower bound."""
    return noise.low > 0 if noise.lower_bound_only else noise.images > 0


def _believed(noise: NoiseScale) -> float:
    """The estimate; where only a lower bound is known that bound, which asks for smaller batches."""
    return noise.low if noise.lower_bound_only else noise.images


def _spread(noise: NoiseScale) -> list[float]:
    """Noise scales spread as its interval is, on logarithms."""
    if noise.lower_bound_only:
        return [noise.low]
    normal = statistics.NormalDist()
    return [_quantile(noise, normal.inv_cdf(p) / normal.inv_cdf(0.975)) for p in QUANTILES]


def _quantile(noise: NoiseScale, share: float) -> float:
    """`share` of the way from the estimate to the end of the interval; below 0 to the lower one."""
    end = noise.high if share > 0 else noise.low or noise.images**2 / noise.high
    return float(noise.images * (end / noise.images) ** abs(share))


def _within_reach(material: Material, low: float, high: float) -> tuple[float, float]:
    """Within measured steps and the law's reach, and not beyond sizes that failed at either end."""
    timed = list(material.step_means)
    good = [size.batch_size for size in material.sizes if size.reliable] or timed
    failed = [size.batch_size for size in material.sizes if size.failed and size.trainings or size.status == "oom"]
    if any(size > max(good) for size in failed):
        high = min(high, max(good))
    if any(size < min(good) for size in failed):
        low = max(low, min(good))
    return max(low, min(timed)), min(high, max(timed))


def _scaled(curve: Curve, material: Material) -> Curve:
    """The curve through the times and images that were measured."""
    fitted = curve.samples.batch_sizes if curve.samples else ()
    anchors = [size for size in material.reached if not fitted or size.batch_size in fitted]
    if not anchors:
        return curve
    (e_min, s_min), relative = curve.law, curve.samples is None
    images = _geometric([_geometric(size.images_by_seed) / (e_min + s_min * size.batch_size) for size in anchors])
    seconds = _geometric([_geometric(size.seconds_by_seed) / curve.shape(size.batch_size) for size in anchors])
    return replace(curve, image_scale=images if relative else 1.0, scale=images if material.elsewhere else seconds)


def _geometric(values: Mapping[int, float] | Sequence[float]) -> float:
    return statistics.geometric_mean(values.values() if isinstance(values, Mapping) else values)
