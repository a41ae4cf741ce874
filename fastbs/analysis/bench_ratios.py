"""Rows against their yardsticks: a loader against DataLoader, an update against torch's fused one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastbs.analysis.measured_cell import MeasuredCell, bounds, estimate

INPUT_BOUND = 1.05  # synthetic input must be faster by more than this for a step to be called input-bound

Find = Callable[[str, Mapping[str, Any]], MeasuredCell | None]  # question and identity -> the cell, if it is there


def input_gap(cell: MeasuredCell, find: Find) -> dict[str, Any]:
    """How many times faster the step of `cell` (question throughput) is with synthetic input, paired by round.

    "input_bound": whether the whole 95 % interval lies above 1.05 (true) or below (false); null where it cannot tell.
    """
    base = find(cell.question, {**cell.identity, "loader": "synthetic", "input": "synthetic"})
    gap = cell.time_ratio(base) if base is not None and base is not cell else None
    return {
        "input_gap": estimate(gap),
        "input_gap_interval": bounds(gap),
        "input_bound": None if gap is None or gap.low <= INPUT_BOUND <= gap.high else gap.low > INPUT_BOUND,
    }


def loader_ratios(cell: MeasuredCell, find: Find) -> dict[str, Any]:
    """How many times as many images per second as the DataLoader's, naive (float32) and fair (uint8).

    Paired by round; null for the yardstick itself. Time to the first batch (seconds, median) stands apart.
    """
    row: dict[str, Any] = {"first_batch_seconds": cell.median(lambda sample: sample.get("first_batch_seconds"))}
    for name, loader in (("naive", "torch-float32"), ("uint8", "torch-uint8")):
        base = find(cell.question, {**cell.identity, "loader": loader})
        ratio = base.time_ratio(cell) if base is not None and base is not cell else None
        row |= {f"ratio_to_{name}": estimate(ratio), f"ratio_to_{name}_interval": bounds(ratio)}
    return row


def update_ratios(cell: MeasuredCell, find: Find) -> dict[str, Any]:
    """Time over that of torch's fused update of the same parameters; with statistics, over that of ours without too.

    Paired by round; null for the yardstick itself.
    """
    row: dict[str, Any] = {}
    with_statistics = cell.identity["implementation"] == "ours-statistics"
    for name, other in (("fused", "fused"), ("ours", "ours" if with_statistics else None)):
        base = find(cell.question, {**cell.identity, "implementation": other})
        ratio = cell.time_ratio(base) if base is not None and base is not cell else None
        row |= {f"time_to_{name}": estimate(ratio), f"time_to_{name}_interval": bounds(ratio)}
    return row
