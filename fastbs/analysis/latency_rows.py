"""The latencies of one row: percentiles over all calls of its processes, as far as so many calls can tell them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from fastbs.analysis.measured_cell import MeasuredCell

PERCENTILES = (50, 90, 95, 99)


def latency(cell: MeasuredCell) -> dict[str, Any]:
    """Under "latency" percentiles (None where no call was timed by itself), samples by process, parts; all in ms.

    Percentiles are numpy's (linear; by hand, so that `compare` starts without it) over the calls of all processes
    together. One beyond which less than a single call lies, as p99 of under 100 calls, is None. A row is host-bound
    where asking for a pass takes longer than the pass.
    """
    samples = cell.values(lambda sample: sample.get("latency_seconds"))
    in_ms = [[1e3 * time for time in times] for times in samples.values()]
    pooled = [time for times in in_ms for time in times]
    medians = {
        name: cell.median(lambda sample, name=name: sample.get(f"{name}_seconds"))  # type: ignore[misc]
        for name in ("first", "load", "h2d", "compute", "d2h", "enqueue")
    }
    found = {f"{name}_ms": None if value is None else 1e3 * value for name, value in medians.items()}
    enqueue, compute = medians["enqueue"], medians["compute"]
    return found | {
        "latency": summary(pooled) if pooled else None,
        "latency_samples_ms": in_ms,
        "host_bound": None if enqueue is None or compute is None else enqueue > compute,
    }


def summary(calls_ms: Sequence[float]) -> dict[str, Any]:
    """Percentiles and extremes of at least one call, in its unit."""
    ordered, calls = sorted(calls_ms), len(calls_ms)
    percentiles = {f"p{p}_ms": _percentile(ordered, p) if calls * (100 - p) >= 100 else None for p in PERCENTILES}
    return percentiles | {
        "mean_ms": statistics.fmean(ordered),
        "min_ms": ordered[0],
        "max_ms": ordered[-1],
        "calls": calls,
    }


def _percentile(ordered: Sequence[float], p: int) -> float:
    position = (len(ordered) - 1) * p / 100
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
