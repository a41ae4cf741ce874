"""The runs of a sweep, looked up by setting (arm and batch size) and seed."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from fastbs.analysis.arms import MAIN, planned_lr, planned_updates
from fastbs.analysis.convergence import median_with_misses, still_falling
from fastbs.analysis.hit import Hit, find_hit
from fastbs.analysis.proportion import sampling_error
from fastbs.analysis.spread import Spread
from fastbs.config import SweepConfig
from fastbs.results.record import STATUSES, Result, RunRecord

PENDING = "pending"  # planned, and no record yet


class Setting(NamedTuple):
    """All that distinguishes the runs of one row."""

    arm: str
    batch_size: int


@dataclass(frozen=True)
class Evidence:
    """What was planned and what has ended so far. Means are over runs that are ok, and never mix settings."""

    config: SweepConfig
    dataset: Mapping[str, Any]  # as Dataset.describe gives it
    runs: Sequence[RunRecord]
    planned: Sequence[tuple[str, int, int]]  # arm, batch size, seed

    @property
    def sizes(self) -> list[Setting]:
        """The main settings, smallest batch first."""
        return [Setting(MAIN, size) for size in self.config.batch_sizes]

    @property
    def smallest(self) -> Setting:
        return self.sizes[0]

    @cached_property
    def controls(self) -> list[Setting]:
        """The planned settings of the other arms, by name."""
        return sorted({Setting(arm, size) for arm, size, _ in self.planned if arm != MAIN})

    @property
    def control_at(self) -> Setting:
        """The main setting that the controls are compared with."""
        return Setting(MAIN, self.config.control_at or self.config.batch_sizes[-1])

    @property
    def target(self) -> float | None:
        """The top1 whose reaching is timed."""
        return self.config.run.target

    @property
    def margin(self) -> float:
        """A loss of top1 (a fraction) that counts as none; chosen when the sweep was planned."""
        return self.config.accuracy_margin

    @property
    def until_target(self) -> bool:
        """Whether runs ended where they held the target: then their last accuracies say nothing about batch sizes."""
        return self.config.run.until_target

    @cached_property
    def unequal(self) -> str:
        """Why the ends of these runs, and so their accuracies and times, do not compare; "" where they do.

        Runs to a target and runs cut off by their limit of seconds trained on as many images as they happened to.
        """
        if self.until_target:
            return "every run ended where it held the target, so their accuracies are alike by design"
        if self.config.run.seconds is not None and any(map(self._cut_off, [*self.sizes, *self.controls])):
            return "runs ended at their limit of seconds, so their accuracies and times are not those of equal epochs"
        return ""

    def _cut_off(self, setting: Setting) -> bool:
        """Whether a run made fewer updates than its budget would have been without a limit of seconds."""
        budget = planned_updates(self.config, *setting, self.dataset["train"])
        return any(run.result.updates < budget for run in self.ok(setting) if run.result)

    @cached_property
    def spread(self) -> Spread:
        """The scatter of top1 over the seeds, from all settings whose runs ended well."""
        settings = [setting for setting in [*self.sizes, *self.controls] if not self.ended_badly(setting)]
        return Spread.of([self.top1(setting) for setting in settings], self.resolution)

    @property
    def resolution(self) -> float:
        """The step in which top1 is read: one validation image, as a fraction."""
        return 1 / float(self.dataset["validation"])

    def records(self, setting: Setting) -> list[RunRecord]:
        """By seed, whatever their status."""
        return sorted((run for run in self.runs if (run.arm, run.batch_size) == setting), key=lambda run: run.seed)

    def ok(self, setting: Setting) -> list[RunRecord]:
        return [run for run in self.records(setting) if run.status == "ok"]

    def timed(self, setting: Setting) -> list[RunRecord]:
        """The ok runs whose times count: those that had their node to themselves."""
        return [run for run in self.ok(setting) if not run.shared]

    def trained(self, setting: Setting) -> list[RunRecord]:
        """Runs that trained to their end, whether or not that was a target."""
        return [run for run in self.records(setting) if run.status in ("ok", "missed")]

    def top1(self, setting: Setting) -> dict[int, float]:
        """Final top1 on the validation set (a fraction) of each ok run, by seed."""
        return {run.seed: run.last.top1 for run in self.ok(setting)}

    def sampling_error(self, setting: Setting) -> float | None:
        """What sampling of validation images alone leaves open of a mean top1 (a fraction, half a 95 % interval)."""
        top1 = self.top1(setting)
        return sampling_error(statistics.fmean(top1.values()), self.dataset["validation"]) if top1 else None

    def measured(self, setting: Setting, value: Callable[[Result], float]) -> dict[int, float]:
        """A measured time of each run whose times count, by seed."""
        return {run.seed: value(run.result) for run in self.timed(setting) if run.result is not None}

    def train_seconds(self, setting: Setting) -> dict[int, float]:
        return self.measured(setting, lambda result: result.train_seconds)

    def seconds_per_image(self, setting: Setting) -> dict[int, float]:
        """Training time by image, so that settings compare at equal images whatever their budgets."""
        return self.measured(setting, lambda result: result.train_seconds / result.images)

    def lr(self, setting: Setting) -> float:
        return planned_lr(self.config, *setting)

    def status_counts(self, setting: Setting) -> dict[str, int]:
        """Planned runs by how they ended, in the order of STATUSES, those that have not ended last."""
        seeds = {seed for arm, size, seed in self.planned if (arm, size) == setting}
        ended = Counter[str](run.status for run in self.records(setting))
        ended[PENDING] = len(seeds - {run.seed for run in self.records(setting)})
        return {status: ended[status] for status in (*STATUSES, PENDING) if ended[status]}

    def ended_badly(self, setting: Setting) -> dict[str, int]:
        """The part of `status_counts` that is neither ok nor pending: with any, the ok runs are survivors."""
        return {status: n for status, n in self.status_counts(setting).items() if status not in ("ok", PENDING)}

    def hits(self, setting: Setting, target: float) -> dict[int, Hit | None]:
        """Where each run held `target`, by seed; None is a miss: it trained to its end, or diverged, without.

        A diverged run is a miss even when it had been there before. Runs that never trained to an end (failed, stopped,
        out of memory, unsupported, pending) say nothing about the target and are no misses.
        """
        hold = self.config.run.hold
        return {
            run.seed: None if run.status == "diverged" else find_hit(run.evaluations, target, hold)
            for run in self.records(setting)
            if run.status in ("ok", "missed", "diverged")
        }

    def times_to_target(self, setting: Setting, target: float) -> dict[int, float | None]:
        """Training seconds by seed, of the runs whose times count; None is a miss."""
        return {seed: hit.train_seconds if hit else None for seed, hit in self.timed_hits(setting, target).items()}

    def timed_hits(self, setting: Setting, target: float) -> dict[int, Hit | None]:
        """Those of the `hits` whose times count."""
        shared = {run.seed for run in self.records(setting) if run.shared}
        return {seed: hit for seed, hit in self.hits(setting, target).items() if seed not in shared}

    def median_time_to_target(self, setting: Setting) -> float | None:
        """Median over seeds of the training seconds to the target, misses counted as more than any."""
        return median_with_misses(list(self.times_to_target(setting, self.target).values())) if self.target else None

    def under_trained(self, setting: Setting) -> bool | None:
        return still_falling([run.evaluations for run in self.ok(setting)])
