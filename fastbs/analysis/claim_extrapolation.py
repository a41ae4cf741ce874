"""The post's extrapolation: so many hours at the smallest batch size become so many at larger ones."""

from __future__ import annotations

import statistics

from fastbs.analysis.claim_time import POST_SAVING, judge_saving, saving
from fastbs.analysis.evidence import Evidence
from fastbs.analysis.finding import Finding, number
from fastbs.analysis.interval import Interval
from fastbs.analysis.phrases import clock, duration, duration_interval

HOUR = 3600.0


def extrapolation_claim(evidence: Evidence) -> Finding:
    """`hours` times the time per image that each size leaves of the smallest's, in which `images` cancel.

    The hours at batch 2 are those at batch 1 times the ratio of the first claim, so its verdict is the one here too.
    """
    config = evidence.config
    before = config.hours * HOUR
    smallest, *larger = config.batch_sizes
    after = {size: _seconds(saving(evidence, smallest, size), before) for size in larger}
    known = {size: seconds for size, seconds in after.items() if seconds is not None}
    told = (1 - POST_SAVING) * before
    said = [f"{duration_interval(seconds)} at batch {size}" for size, seconds in known.items()]
    text = f"{', '.join(said)}, if step and epochs stay as here." if said else "no two sizes have a run that is ok."
    text += _here(evidence)
    numbers = {
        "images": config.images,
        "hours": config.hours,
        "batch_size": smallest,
        "hours_at": [{"batch_size": size, **number("hours", _hours(seconds))} for size, seconds in known.items()],
        "post_hours": told / HOUR,
    }
    claim = f"{config.images:,} images: {_short(before)} -> {_short(told)}"
    return Finding(claim, judge_saving(saving(evidence, 1, 2)), text, numbers)


def _here(evidence: Evidence) -> str:
    """What so many images would take on this machine with this net, at the smallest size."""
    seconds = evidence.seconds_per_image(evidence.smallest)
    if not seconds:
        return ""
    images, size = evidence.config.images, evidence.smallest.batch_size
    one_pass = images * statistics.fmean(seconds.values())
    return f" (On this machine one epoch of {images:,} such images takes {duration(one_pass)} at batch {size}.)"


def _seconds(saved: Interval | None, before: float) -> Interval | None:
    return saved.mapped(lambda share: (1 - share) * before) if saved else None


def _hours(seconds: Interval) -> Interval:
    return seconds.mapped(lambda value: value / HOUR)


def _short(seconds: float) -> str:
    """Whole hours without their minutes: "12 h", "7 h 12"."""
    return duration(seconds).removesuffix(" 00") if clock(seconds).endswith(":00") else duration(seconds)
