"""What advice is made from, whatever records it came from."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from fastbs.analysis.arms import rate_is_scaled
from fastbs.analysis.censored import TimesToTarget, describe_times
from fastbs.analysis.evidence import PENDING
from fastbs.analysis.hit import Hit
from fastbs.analysis.interval import Interval
from fastbs.analysis.noise_scale import NoiseScale
from fastbs.analysis.step_curve import StepCurve, fit_step_curve
from fastbs.analysis.step_time import StepTimeFit
from fastbs.analysis.sweep_fit import fit_steps
from fastbs.config import SweepConfig

StepsFrom = Literal["sweep", "bench", "another machine"]


@dataclass(frozen=True)
class Training:
    """One run that trained to an end; None is a miss."""

    hit: Hit | None
    seconds: float  # training time up to the hit, or all of it
    images: float
    diverged: bool = False


@dataclass(frozen=True)
class SizeFacts:
    """What is known of one batch size. Seeds and processes are keys; what nobody measured is empty or None."""

    batch_size: int
    status: str = "untried"  # of its runs, "ok" when all are; "untried": nobody trained at this size
    status_counts: Mapping[str, int] = field(default_factory=dict)
    reason: str | None = None
    trainings: Mapping[int, Training] = field(default_factory=dict)
    steps: Mapping[int, float] = field(default_factory=dict)  # s
    memory_bytes: int | None = None
    joules_per_image: float | None = None
    input_wait: float | None = None  # part of the training time

    @cached_property
    def times(self) -> TimesToTarget:
        """Training seconds to the target."""
        runs = list(self.trainings.values())
        return describe_times(
            [run.hit.train_seconds if run.hit else None for run in runs], [run.seconds for run in runs]
        )

    @property
    def all_reached(self) -> bool:
        return 0 < self.times.reached == self.times.n

    @property
    def reliable(self) -> bool:
        """Half of the runs or more reached the target, none was stopped as dominated, and none lacked memory."""
        return 0 < self.times.n <= 2 * self.times.reached and self.status not in ("stopped", "oom")

    @property
    def failed(self) -> bool:
        """Tried, and nothing to count on."""
        return self.status not in ("untried", PENDING) and not self.reliable

    @property
    def seconds(self) -> float | None:
        """Median time to the target; where runs miss it, what restarting until one reaches it costs on average."""
        return self.times.median if self.all_reached else self.times.expected

    @property
    def images(self) -> float | None:
        """Training images to the target, likewise."""
        runs = list(self.trainings.values())
        images = describe_times([run.hit.images if run.hit else None for run in runs], [run.images for run in runs])
        return images.median if self.all_reached else images.expected

    @property
    def images_by_seed(self) -> dict[int, float]:
        return {seed: run.hit.images for seed, run in self.trainings.items() if run.hit}

    @property
    def seconds_by_seed(self) -> dict[int, float]:
        return {seed: run.hit.train_seconds for seed, run in self.trainings.items() if run.hit}

    @property
    def missed_after(self) -> dict[int, float]:
        """Images after which a run ended without the target, by seed; not of runs that diverged."""
        return {seed: run.images for seed, run in self.trainings.items() if not run.hit and not run.diverged}


@dataclass(frozen=True)
class Material:
    """All that is known, for one target on one machine; `sizes` rise."""

    sizes: tuple[SizeFacts, ...]
    config: SweepConfig  # resolved: what the runs were given
    requested: SweepConfig  # what the user chose, for commands
    dataset: Mapping[str, Any]  # as Dataset.describe gives it
    machine: Mapping[str, Any]
    norm: str | None
    target: float
    steps_from: StepsFrom = "sweep"
    noise: NoiseScale | None = None
    noise_at: int | None = None  # batch size of the runs that drew it
    best_top1: float | None = None  # of any evaluation
    warnings: tuple[str, ...] = ()
    rate_error: float = 0.0  # of log images at a size, shared by its seeds: noisy trials chose its rate

    @property
    def trained(self) -> list[SizeFacts]:
        """The sizes that somebody tried to train at."""
        return [size for size in self.sizes if size.status != "untried"]

    @property
    def reached(self) -> list[SizeFacts]:
        """Those at which a run reached the target."""
        return [size for size in self.trained if size.times.reached]

    @property
    def noise_interval(self) -> Interval | None:
        """The noise scale, images; an end may be infinite."""
        noise = self.noise
        return Interval(noise.low, noise.images, noise.high, noise.draws) if noise else None

    @property
    def raced(self) -> bool:
        """Sizes were stopped because another one had won: evidence that needs no second survivor."""
        return any(size.status == "stopped" for size in self.sizes)

    @property
    def confounded(self) -> bool:
        """Several sizes at one constant rate."""
        return len(self.config.batch_sizes) > 1 and not rate_is_scaled(self.config)

    @property
    def elsewhere(self) -> bool:
        """Step times are of another machine than the runs."""
        return self.steps_from == "another machine"

    @cached_property
    def step_means(self) -> dict[int, float]:
        """Seconds a step by batch size, over processes."""
        return {size.batch_size: statistics.geometric_mean(size.steps.values()) for size in self.sizes if size.steps}

    @cached_property
    def step_fit(self) -> StepTimeFit | str:
        """The line through the steps, or the sentence that says why there is none."""
        return fit_steps(
            {size.batch_size: size.steps for size in self.sizes if size.steps}, nothing="no step was timed"
        )

    @cached_property
    def step_curve(self) -> StepCurve:
        """Seconds a step at any batch size, and what it may be as well; there must be a measured one."""
        steps = {size.batch_size: size.steps for size in self.sizes if size.steps}
        return fit_step_curve(steps, paired=self.steps_from != "sweep")

    def at(self, batch_size: int) -> SizeFacts | None:
        return next((size for size in self.sizes if size.batch_size == batch_size), None)

    def memory(self, batch_size: float) -> float | None:
        """Bytes at any size: on straight lines between measured ones, a measured smaller size's at least."""
        return _between({s.batch_size: s.memory_bytes for s in self.sizes if s.memory_bytes is not None}, batch_size)

    def joules_per_image(self, batch_size: float) -> float | None:
        known = {s.batch_size: s.joules_per_image for s in self.sizes if s.joules_per_image is not None}
        return _between(known, batch_size)


def _between(known: Mapping[int, float], batch_size: float) -> float | None:
    """On straight lines; None outside of what is known."""
    if not known or not min(known) <= batch_size <= max(known):
        return None
    below = max(size for size in known if size <= batch_size)
    above = min(size for size in known if size >= batch_size)
    share = 0.0 if above == below else (batch_size - below) / (above - below)
    return known[below] + share * (known[above] - known[below])
