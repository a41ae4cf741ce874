"""The latencies of one row: percentiles over all calls of its processes, as far as so many calls can tell them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbs.analysis.measured_cell import MeasuredCell

PERCENTILES = (50, 90, 95, 99)


def latency(cell: MeasuredCell) -> dict[str, Any]:
    """Under "latency" percentiles (None where no call was timed by itself), samples by process, parts; all in ms.

    Percentiles are numpy's (linear) over the calls of all processes together. One beyond which less than a single call
    lies, as p99 of under 100 calls, is None. A row is host-bound where asking for a pass takes longer than the pass.
    """
    samples = cell.values(lambda sample: sample.get("latency_seconds"))
    pooled = 1e3 * np.concatenate([np.asarray(times) for times in samples.values()]) if samples else np.empty(0)
    medians = {
        name: cell.median(lambda sample, name=name: sample.get(f"{name}_seconds"))  # type: ignore[misc]
        for name in ("first", "load", "h2d", "compute", "d2h", "enqueue")
    }
    found = {f"{name}_ms": None if value is None else 1e3 * value for name, value in medians.items()}
    enqueue, compute = medians["enqueue"], medians["compute"]
    return found | {
        "latency": summary(pooled) if len(pooled) else None,
        "latency_samples_ms": [[1e3 * time for time in times] for times in samples.values()],
        "host_bound": None if enqueue is None or compute is None else enqueue > compute,
    }


def summary(calls_ms: Sequence[float] | NDArray[np.float64]) -> dict[str, Any]:
    """Percentiles and extremes of at least one call, in its unit."""
    milliseconds, calls = np.asarray(calls_ms), len(calls_ms)
    percentiles = {
        f"p{p}_ms": float(np.percentile(milliseconds, p)) if calls * (100 - p) >= 100 else None for p in PERCENTILES
    }
    return percentiles | {
        "mean_ms": float(milliseconds.mean()),
        "min_ms": float(milliseconds.min()),
        "max_ms": float(milliseconds.max()),
        "calls": calls,
    }
