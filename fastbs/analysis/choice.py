"""The fastest setting that is as good as the smallest batch size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fastbs.analysis.evidence import PENDING, Evidence, Setting
from fastbs.analysis.interval import Interval
from fastbs.analysis.paired import paired_ratio
from fastbs.analysis.spread import Spread

ROUNDING = 1e-12  # of a logarithm
NOTICED = 0.05  # part of the training time: a smaller saving is none


@dataclass(frozen=True)
class Option:
    """A setting against the smallest batch size, seed by seed; None where nothing could be compared."""

    setting: Setting
    time: Interval | None  # ratio of training times
    faster: bool  # proven, in 95 % of sweeps for all options together
    difference: Interval | None  # of final top1, a fraction
    margin: float  # a loss of top1 (a fraction) that counts as none

    @property
    def may_be_faster(self) -> bool:
        """By 5 % or more of the training time."""
        return self.time is None or not self.time.bounded or self.time.low < 1 - NOTICED

    @property
    def as_good(self) -> bool:
        """A loss of the margin is excluded."""
        return self.difference is not None and self.difference.bounded and self.difference.low > -self.margin

    @property
    def worse(self) -> bool:
        """A loss of the margin and more is proven."""
        return self.difference is not None and self.difference.bounded and self.difference.high < -self.margin


def options(evidence: Evidence) -> list[Option]:
    """Every setting but the smallest size itself, controls included.

    Those with runs that ended badly have nothing to compare: their survivors are no fair sample. One of which no run
    ended well, or will, cannot be chosen and is left out.
    """
    settings = [s for s in evidence.sizes[1:] + evidence.controls if {"ok", PENDING} & evidence.status_counts(s).keys()]
    seconds = {setting: _logs(evidence, setting) for setting in (evidence.smallest, *settings)}
    spread = Spread.of([logs for s, logs in seconds.items() if not evidence.ended_badly(s)], ROUNDING)
    top1, base = evidence.top1(evidence.smallest), seconds[evidence.smallest]
    found = []
    for setting in settings:
        time = surely = difference = None
        if not evidence.ended_badly(setting):
            time = spread.difference(seconds[setting], base)
            surely = spread.difference(seconds[setting], base, 1 - 0.05 / len(settings))
            difference = evidence.spread.difference(evidence.top1(setting), top1)
        faster = surely is not None and surely.high < 0
        found.append(Option(setting, time.mapped(math.exp) if time else None, faster, difference, evidence.margin))
    return found


def _logs(evidence: Evidence, setting: Setting) -> dict[int, float]:
    return {seed: math.log(seconds) for seed, seconds in evidence.train_seconds(setting).items()}


def fastest_as_good(found: Sequence[Option]) -> Option | None:
    """The shortest training time among the options that are proven faster and are as good."""
    good = [(option.time.estimate, option) for option in found if option.faster and option.as_good and option.time]
    return min(good, key=lambda pair: pair[0], default=(0.0, None))[1]


def fastest_to_target(evidence: Evidence) -> Setting | None:
    """The main size or control with the shortest median time to the target; None where most runs of all miss it."""
    reached = _median_times(evidence)
    return min(reached, key=lambda setting: reached[setting], default=None)


def target_ratio(evidence: Evidence, setting: Setting) -> Interval | None:
    """Training time to the target against the smallest size; None unless every run of both reached it.

    `setting` was picked among all that reached the target: its 95 % interval allows for that (Bonferroni).
    """
    assert evidence.target is not None
    both = [evidence.times_to_target(s, evidence.target) for s in (setting, evidence.smallest)]
    own, base = ({seed: time for seed, time in times.items() if time is not None} for times in both)
    if any(len(reached) < len(times) for reached, times in zip((own, base), both, strict=True)):
        return None
    others = len(_median_times(evidence).keys() - {evidence.smallest})
    return paired_ratio(own, base, 1 - 0.05 / max(1, others))


def _median_times(evidence: Evidence) -> dict[Setting, float]:
    """Of the settings whose median is known."""
    times = {setting: evidence.median_time_to_target(setting) for setting in [*evidence.sizes, *evidence.controls]}
    return {setting: time for setting, time in times.items() if time is not None}
