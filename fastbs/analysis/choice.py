"""The fastest setting that is as good as the smallest batch size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastbs.analysis.evidence import Evidence, Setting
from fastbs.analysis.finding import POINT
from fastbs.analysis.interval import Interval
from fastbs.analysis.paired import paired_difference, paired_ratio


@dataclass(frozen=True)
class Option:
    """A setting against the smallest batch size, seed by seed."""

    setting: Setting
    time: Interval  # ratio of training times
    difference: Interval  # of final top1, a fraction
    margin: float  # the loss that must be excluded: a point, or what the validation images resolve where that is more

    @property
    def faster(self) -> bool:
        """Proven: the whole interval is below 1."""
        return self.time.bounded and self.time.high < 1

    @property
    def as_good(self) -> bool:
        """The mean loss is below a point, and one of `margin` is excluded (where a loss is proven: of a point)."""
        d = self.difference
        return d.estimate > -POINT and d.low > -(self.margin if d.high >= 0 else POINT)

    @property
    def worse(self) -> bool:
        """A loss is proven, and it is not a trifle."""
        return self.difference.high < 0 and not self.as_good


def options(evidence: Evidence) -> list[Option]:
    """Every setting but the smallest size itself, controls included; those with runs that ended badly are left out."""
    top1, seconds = evidence.top1(evidence.smallest), evidence.train_seconds(evidence.smallest)
    margin = max(POINT, evidence.sampling_error(evidence.smallest) or 0.0)
    found = []
    for setting in [*evidence.sizes[1:], *evidence.controls]:
        time = paired_ratio(evidence.train_seconds(setting), seconds)
        difference = paired_difference(evidence.top1(setting), top1, evidence.resolution)
        if time and difference and not evidence.ended_badly(setting):
            found.append(Option(setting, time, difference, margin))
    return found


def fastest_as_good(found: Sequence[Option]) -> Option | None:
    """The shortest training time among the options that are proven faster and are as good."""
    return min((o for o in found if o.faster and o.as_good), key=lambda o: o.time.estimate, default=None)


def fastest_to_target(evidence: Evidence) -> Setting | None:
    """The main size or control with the shortest median time to the target; None where most runs of all miss it."""
    times = {setting: evidence.median_time_to_target(setting) for setting in [*evidence.sizes, *evidence.controls]}
    reached = {setting: time for setting, time in times.items() if time is not None}
    return min(reached, key=lambda setting: reached[setting], default=None)


def target_ratio(evidence: Evidence, setting: Setting) -> Interval | None:
    """Training time to the target against the smallest size; None unless every run of both reached it."""
    assert evidence.target is not None
    both = [evidence.times_to_target(s, evidence.target) for s in (setting, evidence.smallest)]
    own, base = ({seed: time for seed, time in times.items() if time is not None} for times in both)
    if any(len(reached) < len(times) for reached, times in zip((own, base), both, strict=True)):
        return None
    return paired_ratio(own, base)
