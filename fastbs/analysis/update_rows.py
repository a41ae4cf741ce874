"""What a weight update costs: against the memory it must move, and as a share of the steps it would be part of."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from fastbs.analysis.bench_identity import curve_key
from fastbs.analysis.measured_cell import CALLS, SECONDS, MeasuredCell, Sample, bounds, estimate, geometric
from fastbs.analysis.paired import paired_ratio


def update_costs(cell: MeasuredCell) -> dict[str, Any]:
    """Microseconds, GB/s (1e9 bytes) of the bytes that the update cannot do without, launches, what worked for `ours`.

    "stream_share" is that speed over the speed of a stream with as many bytes, measured in the same process; its parts
    are geometric means over processes.
    """
    step = geometric(cell.seconds)
    streams = cell.values(_stream_seconds)
    moved = cell.first("bytes")
    share = paired_ratio(streams, cell.seconds)
    stream = geometric(streams)
    return {
        "us": estimate(step, 1e6),
        "us_interval": bounds(step, 1e6),
        "parameters": cell.first("parameters"),
        "tensors": cell.first("tensors"),
        "bytes": moved,
        "gb_per_second": moved / step.estimate / 1e9 if moved and step else None,
        "stream_gb_per_second": moved / stream.estimate / 1e9 if moved and stream else None,
        "stream_share": estimate(share),
        "stream_share_interval": bounds(share),
        "launches": cell.median(lambda sample: sample.get("launches")),
        "routine": cell.first("routine"),
        "host_us": estimate(geometric(cell.values(lambda sample: sample.get("host_seconds"))), 1e6),
    }


def update_curve(us: float | None, steps: Sequence[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """An update of `us` microseconds per image and as a share of each of `steps`; None without steps.

    `steps` are throughput rows (see `steps_of_model`). The share is u / (step - its own update + u): what the step
    would take with this update in the place of the one that it was measured with.
    """
    if us is None or not steps:
        return None
    return [
        {
            "batch_size": row["batch_size"],
            "us_per_image": us / row["batch_size"],
            "share": us / (1e3 * (row["step_ms"] - row["update_ms"]) + us),
        }
        for row in steps
    ]


def steps_of_model(rows: Sequence[dict[str, Any]], model: str) -> list[dict[str, Any]]:
    """The throughput rows of `model` on synthetic input with a measured update, smallest batch first, of one curve.

    Of several curves, the first with fp32 eager steps; the first at all if none has them.
    """
    fitting = [
        row
        for row in rows
        if row["question"] == "throughput"
        and row["model"] == model
        and row["loader"] == "synthetic"
        and row["step_ms"] is not None
        and row["update_ms"] is not None
    ]
    plain = [row for row in fitting if row["precision"] == "fp32" and row["step"] == "eager"]
    chosen = plain or fitting
    one_curve = [row for row in chosen if curve_key(row) == curve_key(chosen[0])]
    return sorted(one_curve, key=lambda row: row["batch_size"])


def _stream_seconds(sample: Sample) -> float | None:
    blocks = sample.get("stream_blocks")
    return statistics.median(block[SECONDS] / block[CALLS] for block in blocks) if blocks else None
