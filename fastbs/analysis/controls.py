"""Why a larger batch is less accurate: an unscaled rate, fewer updates, or the batch size itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fastbs.analysis.arms import RATE_CONTROLS, SAME_UPDATES
from fastbs.analysis.interval import Interval
from fastbs.analysis.spread import Spread

Seeds = Mapping[int, float]  # final top1 (a fraction) by seed


@dataclass(frozen=True)
class Control:
    """What one control arm says; differences of top1 are fractions, below 0 where the larger batch is worse."""

    left_over: Interval  # control - smallest size
    gain: Interval  # control - larger size without it
    share: float | None  # part of the loss that the control takes away; None without a loss


@dataclass(frozen=True)
class Attribution:
    """Top1 at the controls' batch size against the smallest, and what becomes of the difference under each control.

    "Proven" and "excluded" are by 95 % paired t intervals, so never with fewer than two seeds.
    """

    difference: Interval
    controls: dict[str, Control]  # by arm
    left_by_both: dict[str, Interval]  # of each scaled rate: what is left if its gain and that of the updates add up
    margin: float  # a loss of top1 (a fraction) that counts as none

    @property
    def loss(self) -> Literal["proven", "not proven", "cannot tell"]:
        """Whether the larger batch is worse: "proven" when the whole interval is below 0."""
        if not self.difference.bounded:
            return "cannot tell"
        return "proven" if self.difference.high < 0 else "not proven"

    @property
    def cause(self) -> Literal["rate", "size", "open"]:
        """What the loss comes from, as far as controls can prove it; "open" where no loss is proven.

        rate: a scaled rate, on the same images in as many updates, gains, and excludes a loss beyond the margin.
        size: a loss is proven under every scaled rate, with as many updates, and if the gains of both add up; and no
        rate is shown to matter, so that yet another one has no reason to.

        As many updates take more images, so that what they give back may be the images': with images = updates x batch
        size, "fewer updates" and "averaging costs, and more images help" can be one and the same curve. No accuracy
        tells them apart, and a loss that only that control takes away stays open.
        """
        rates = [control for arm, control in self.controls.items() if arm in RATE_CONTROLS]
        if self.loss != "proven" or not rates:
            return "open"
        if any(control.gain.low > 0 and control.left_over.low > -self.margin for control in rates):
            return "rate"
        if not self.left_by_both or not all(control.gain.touches(0, 0) for control in rates):
            return "open"
        left = [*(control.left_over for control in self.controls.values()), *self.left_by_both.values()]
        return "size" if all(loss.high < 0 for loss in left) else "open"

    @property
    def excluded_loss(self) -> float | None:
        """A loss larger than this (fraction) by the batch size itself is excluded; None where none is.

        The margin, which was chosen before the runs: the end of an interval that was looked at first would be chosen by
        its luck.
        """
        return self.margin if self.cause == "rate" else None


def attribute(
    smallest: Seeds, larger: Seeds, controls: Mapping[str, Seeds], spread: Spread, margin: float
) -> Attribution | None:
    """Compare seed by seed; `controls` holds "same-updates", "root-lr" and "scaled-lr", or those of them that exist.

    `spread` is that of top1 over the sweep. None when no seed has both sizes.
    """
    difference = spread.difference(larger, smallest)
    if difference is None:
        return None
    found = {}
    for arm in (SAME_UPDATES, *RATE_CONTROLS):
        values = controls.get(arm, {})
        left_over = spread.difference(values, smallest)
        gain = spread.difference(values, larger)
        if left_over and gain:
            share = gain.estimate / -difference.estimate if difference.estimate < 0 else None
            found[arm] = Control(left_over, gain, share)
    both = {}
    for arm in (arm for arm in RATE_CONTROLS if arm in found and SAME_UPDATES in found):
        same, scaled = controls[SAME_UPDATES], controls[arm]
        seeds = smallest.keys() & larger.keys() & same.keys() & scaled.keys()
        sums = [same[seed] + scaled[seed] - larger[seed] - smallest[seed] for seed in sorted(seeds)]
        if left := spread.mean(sums, weight=4.0):
            both[arm] = left
    return Attribution(difference, found, both, margin)
