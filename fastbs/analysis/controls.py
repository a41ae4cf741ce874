"""Why a larger batch is less accurate: fewer updates, an unscaled rate, or something left over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fastbs.analysis.finding import POINT
from fastbs.analysis.interval import Interval
from fastbs.analysis.paired import paired_difference

Cause = Literal["updates", "rate"]
CAUSES: dict[str, Cause] = {"same-updates": "updates", "scaled-lr": "rate"}  # what each control takes away
Seeds = Mapping[int, float]  # final top1 (a fraction) by seed


@dataclass(frozen=True)
class Control:
    """What one control arm says; differences of top1 are fractions, below 0 where the larger batch is worse."""

    left_over: Interval  # control - smallest size
    gain: Interval  # control - larger size without it
    share: float | None  # part of the loss that the control takes away; None without a loss
    explains: bool

    @property
    def open(self) -> bool:
        """It cannot tell: what is left over may be nothing, and it may be much of the loss."""
        return not self.explains and self.left_over.high >= 0


@dataclass(frozen=True)
class Attribution:
    """Top1 at the controls' batch size against the smallest, and what becomes of the difference under each control."""

    difference: Interval
    controls: dict[str, Control]  # by arm

    @property
    def loss(self) -> Literal["proven", "not proven", "cannot tell"]:
        """Whether the larger batch is worse: "proven" when the whole interval is below 0."""
        if not self.difference.bounded:
            return "cannot tell"
        return "proven" if self.difference.high < 0 else "not proven"

    @property
    def explained_by(self) -> tuple[Cause, ...]:
        """The causes that each by themselves account for the loss; empty when there is none or none is found."""
        return tuple(CAUSES[arm] for arm, control in self.controls.items() if control.explains)

    @property
    def excluded_loss(self) -> float | None:
        """A loss larger than this (fraction) by the batch size itself is excluded; None when nothing bounds it.

        Where a loss is explained: the worst that the interval leaves under the control, the scaled rate before the same
        updates because it sees as many images (a fixed order, so that the luckier of the two is not picked). Where no
        loss is proven: the worst that the interval of the difference leaves.
        """
        if self.loss == "cannot tell":
            return None
        if self.loss == "not proven":
            return max(0.0, -self.difference.low)
        for arm in ("scaled-lr", "same-updates"):
            if arm in self.controls and self.controls[arm].explains:
                return max(0.0, -self.controls[arm].left_over.low)
        return None


def attribute(smallest: Seeds, larger: Seeds, controls: Mapping[str, Seeds], resolution: float) -> Attribution | None:
    """Compare seed by seed; `controls` holds the arms "same-updates" and "scaled-lr", or those of them that exist.

    A control explains the loss when the loss is proven, the gain over the larger batch without it is proven, no
    remaining loss is proven, at least half of the loss is gone, and it is excluded that half of the loss or more (but
    at least a point) remains ("proven" and "excluded" by a 95 % paired t interval, so never with fewer than two seeds;
    `resolution` as in `paired_difference`). None when no seed has both sizes.
    """
    difference = paired_difference(larger, smallest, resolution)
    if difference is None:
        return None
    found = {}
    for arm in CAUSES:
        values = controls.get(arm, {})
        left_over = paired_difference(values, smallest, resolution)
        gain = paired_difference(values, larger, resolution)
        if left_over and gain:
            found[arm] = _control(difference, left_over, gain)
    return Attribution(difference, found)


def _control(difference: Interval, left_over: Interval, gain: Interval) -> Control:
    share = gain.estimate / -difference.estimate if difference.estimate < 0 else None
    proven = difference.high < 0 < gain.low
    nothing_left = left_over.high >= 0 and left_over.low > min(-POINT, difference.estimate / 2)
    return Control(left_over, gain, share, proven and nothing_left and share is not None and share >= 0.5)
