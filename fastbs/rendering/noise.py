"""The gradient noise scale of a sweep in a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastbs.rendering.numbers import significant, with_interval

WIDE = 10  # times its lower end: an interval that reaches further says nothing that could be used


def noise_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """ "noise scale, images: 23 [14, 74] at batch 4 · above 17 at batch 128"; of whole trainings, 95 % intervals."""
    said = [f"{noise_estimate(row['whole'])} at batch {row['batch_size']:,}" for row in rows]
    return f"noise scale, images: {' · '.join(said)}"


def noise_estimate(estimate: Mapping[str, Any]) -> str:
    """ "23 [14, 74]"; without an upper end "above 14"; where the interval is too wide to be used "open, about 23"."""
    images, (low, high) = estimate["images"], estimate["interval"]
    if high is None and low > 0:
        return f"above {_whole(low)}"
    if high is None or high > WIDE * low:
        return "open" if images is None else f"open, about {_whole(images)}"
    return with_interval(images, [low, high])


def _whole(images: float) -> str:
    return significant(images, 2) if images < 10 else f"{images:,.0f}"
