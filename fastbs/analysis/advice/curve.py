"""Time to the target at any batch size: the law of the images times the step time."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fastbs.analysis.advice.material import Material, SizeFacts
from fastbs.analysis.dominated import SPREAD
from fastbs.analysis.interval import Interval
from fastbs.analysis.noise_scale import NoiseScale
from fastbs.analysis.samples_to_target import (
    FEWEST_SIZES,
    MISFIT,
    TAIL,
    SamplesFit,
    fit_means,
    fit_samples_to_target,
)
from fastbs.analysis.step_curve import StepCurve

NEAR, LEAST_SPREAD = 4, 0.05  # standard deviations of log images up to which a short budget explains a miss
POOR_FIT = 0.2  # rms of log residuals above which the law is not believed, unless the seeds scatter as much
QUANTILES = [k / 20 for k in range(1, 20)]
BEYOND = 2  # times the sizes that trained, as far as the law is followed

Law = tuple[float, float]  # e_min images and s_min updates, or in proportion to them


@dataclass(frozen=True)
class Curve:
    """T(B) = scale S(B) t(B) for batch sizes from `smallest` to `largest`."""

    source: Literal["fit", "noise scale"]  # of the law
    law: Law
    replicates: tuple[Law, ...]  # laws that may be true as well
    steps: StepCurve
    scale: float | None  # from S(B) t(B) to training seconds, input wait and all; None: nothing in seconds is known
    image_scale: float | None  # likewise, from the law's unit to images
    smallest: float
    largest: float
    samples: SamplesFit | None  # None: the law is that of the noise scale
    noise: NoiseScale | None
    late: frozenset[int] = frozenset()  # sizes that missed the target because their budget was short by the law
    seeds: int = 1  # that the times rest on
    rate_error: float = 0.0  # of log images at one size, because noisy trials chose its rate

    def shape(self, batch_size: float) -> float:
        """Time to the target up to a factor."""
        e_min, s_min = self.law
        return (s_min + e_min / batch_size) * self.steps.seconds(batch_size)

    def draws(self, batch_sizes: Sequence[float]) -> NDArray[np.float64]:
        """(draw, size): what `shape` may be as well, over the laws and step times that may be true."""
        steps = self.steps.draws(batch_sizes)
        laws = np.resize(np.array(self.replicates), (len(steps), 2))
        found: NDArray[np.float64] = (laws[:, 1:] + laws[:, :1] / np.array(batch_sizes, dtype=float)) * steps
        return found

    def seconds(self, batch_size: float) -> float | None:
        return None if self.scale is None else self.scale * self.shape(batch_size)

    def images(self, batch_size: float) -> float | None:
        e_min, s_min = self.law
        return None if self.image_scale is None else self.image_scale * (e_min + s_min * batch_size)

    def covers(self, batch_size: float) -> bool:
        return self.smallest <= batch_size <= self.largest

    def seconds_interval(self, batch_size: float) -> Interval | None:
        """95 % over the laws, step times and rates that may be true; None from one seed, which says nothing of others.

        The rate that trials chose at this size may be worse or better than those of the others.
        """
        if self.scale is None or self.samples is None or self.seeds < 2:
            return None
        drawn = self.draws([batch_size])[:, 0]
        values = self.scale * np.sort(drawn * np.exp(self.rate_error * _standard_normal(len(drawn))))
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
    late = late_sizes(material)
    found = fit_law(material, late)
    alone = len([size for size in material.sizes if size.reliable]) < 2 and not material.raced
    samples = found if isinstance(found, SamplesFit) else None
    noise = material.noise if alone and samples is None else None
    if samples:
        law, replicates = (samples.e_min, samples.s_min), samples.replicates
        end = BEYOND if not samples.breaks_law_at else 1
        trained = [size.batch_size for size in material.reached if size.batch_size in samples.batch_sizes]
        smallest, largest = _within_reach(material, late, min(trained) / BEYOND, end * max(trained))
    elif noise and usable(noise):
        law, replicates = (_believed(noise), 1.0), tuple((phi, 1.0) for phi in _spread(noise))
        smallest, largest = _within_reach(material, frozenset(), 0.0, math.inf)
    else:
        return str(found)
    unscaled = Curve(
        source="fit" if samples else "noise scale",
        law=law,
        replicates=replicates,
        steps=material.step_curve,
        scale=None,
        image_scale=None,
        smallest=smallest,
        largest=largest,
        samples=samples,
        noise=noise,
        late=late if samples else frozenset(),
        seeds=max((size.times.n for size in material.reached), default=0),
        rate_error=material.rate_error,
    )
    return _scaled(unscaled, material)


def fit_law(material: Material, late: frozenset[int] = frozenset()) -> SamplesFit | str:
    """The images that the sizes without a miss needed, and what those of `late` are known to need.

    A sentence where they are too few or do not follow the law.
    """
    sizes = [size for size in material.sizes if size.all_reached or size.batch_size in late]
    seeds = sorted(set().union(*(size.trainings for size in sizes)))
    try:
        fit = fit_samples_to_target(
            [size.batch_size for size in sizes],
            [[size.images_by_seed.get(seed) for seed in seeds] for size in sizes],
            above=[[size.missed_after.get(seed, 0.0) for seed in seeds] for size in sizes],
            single_runs=True,
            misfit=math.hypot(MISFIT, material.rate_error),
        )
    except ValueError as error:
        return f"{len(sizes)} batch sizes reached the target in every run; the law {error}"
    scatter = _error_of_means([[*size.images_by_seed.values()] for size in sizes])
    if fit.rms_log_residual > max(POOR_FIT, 2 * math.hypot(scatter, material.rate_error)):
        return f"the images to the target do not follow the law (rms {100 * fit.rms_log_residual:.0f} %)"
    return fit


def late_sizes(material: Material) -> frozenset[int]:
    """Sizes with runs that missed the target because their budget ended near what the law says they need.

    Other misses are failures: runs that would not have reached the target with more images either. The law is that of
    the runs that reached the target; near is within `NEAR` standard deviations of a run.
    """
    reached = material.reached
    missed = {size.batch_size: max(size.missed_after.values()) for size in material.trained if size.missed_after}
    if not missed or len(reached) < FEWEST_SIZES:
        return frozenset()
    logs = [[math.log(images) for images in size.images_by_seed.values()] for size in reached]
    fitted = fit_means([size.batch_size for size in reached], [statistics.fmean(own) for own in logs])
    spread = math.sqrt(statistics.fmean([statistics.variance(own) for own in logs if len(own) > 1] or [SPREAD**2]))
    near = math.exp(NEAR * max(LEAST_SPREAD, spread))
    return frozenset(size for size, images in missed.items() if images < near * (fitted[0] + fitted[1] * size))


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


def _within_reach(material: Material, late: frozenset[int], low: float, high: float) -> tuple[float, float]:
    """Within measured steps and the law's reach, and not beyond sizes that failed at either end."""
    timed = list(material.step_means)
    good = [size.batch_size for size in material.sizes if size.reliable or size.batch_size in late] or timed
    failed = [
        size.batch_size
        for size in material.sizes
        if (size.failed and size.trainings and size.batch_size not in late) or size.status == "oom"
    ]
    if any(size > max(good) for size in failed):
        high = min(high, max(good))
    if any(size < min(good) for size in failed):
        low = max(low, min(good))
    return max(low, min(timed)), min(high, max(timed))


def _scaled(curve: Curve, material: Material) -> Curve:
    """The curve through the times that were measured, and from a pilot through its images too.

    Seconds of runs are compared with their own images, at the step times of the curve's residuals: what is left is
    input wait and the like.
    """
    fitted = curve.samples.batch_sizes if curve.samples else ()
    anchors = [size for size in material.reached if not fitted or size.batch_size in fitted]
    if not anchors:
        return curve
    relative = curve.samples is None
    (e_min, s_min) = curve.law
    images = _geometric(
        [_geometric(size.images_by_seed.values()) / (e_min + s_min * size.batch_size) for size in anchors]
    )
    waits = [_geometric(_wait(size, material)) for size in anchors]
    own = _geometric(waits) * (images if relative else 1.0)
    return replace(
        curve,
        image_scale=images if relative else 1.0,
        scale=(images if relative else 1.0) if material.elsewhere else own,
    )


def _wait(size: SizeFacts, material: Material) -> list[float]:
    """By how much each run took longer than its images at the size's step time."""
    step = material.step_means.get(size.batch_size) or material.step_curve.seconds(size.batch_size)
    return [
        run.hit.train_seconds / (run.hit.images / size.batch_size * step) for run in size.trainings.values() if run.hit
    ]


def _standard_normal(n: int) -> NDArray[np.float64]:
    return np.random.default_rng(2).standard_normal(n)


def _geometric(values: Iterable[float]) -> float:
    return statistics.geometric_mean(values)
