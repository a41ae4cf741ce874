"""The gradient noise scale of a sweep in a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastbs.rendering.numbers import significant


def noise_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """ "noise scale: 23 [14, 74] at batch 4 · above 17 at batch 128 images"; of whole trainings."""
    said = [f"{noise_estimate(row['whole'])} at batch {row['batch_size']:,}" for row in rows]
    return f"noise scale, images: {' · '.join(said)}"


def noise_estimate(estimate: Mapping[str, Any]) -> str:
    """ "23 [14, 74]"; where there is no upper end "above 14"; where one draw says little "about 23"."""
    low, high = estimate["interval"]
    if high is None:
        about = "unknown" if estimate["images"] is None else f"about {_whole(estimate['images'])}"
        return f"above {_whole(low)}" if low > 0 else about
    return f"{_whole(estimate['images'])} [{_whole(low)}, {_whole(high)}]"


def _whole(images: float) -> str:
    return significant(images, 2) if images < 10 else f"{images:,.0f}"
