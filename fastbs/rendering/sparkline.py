"""A row of numbers as a row of blocks."""

from __future__ import annotations

from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], top: float) -> str:
    """A block for each value, from 0 (lowest) to `top` (full), so that lines with one `top` can be compared.

    "·" stands where there is no value.
    """
    return "".join("·" if value is None else BLOCKS[_level(value, top)] for value in values)


def _level(value: float, top: float) -> int:
    return max(0, min(len(BLOCKS) - 1, round(value / top * len(BLOCKS)) - 1)) if top > 0 else 0
