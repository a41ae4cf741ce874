"""One row of a bench: what its processes measured, put together."""

from __future__ import annotations

import statistics
from typing import Any

from fastbs.analysis.interval import Interval
from fastbs.analysis.measured_cell import CALLS, CLOCK, FAULTS, MeasuredCell, Sample, bounds, estimate, geometric


def make_bench_row(cell: MeasuredCell) -> dict[str, Any]:
    """The row of `cell`: identity, status and all that any question measures; null where nothing did.

    Times are geometric means over processes, each the median of its blocks, with 95 % intervals over processes ([low,
    high], null with fewer than two). Units: `_ms` milliseconds, `_us` microseconds, bytes, joules, watts, fractions.
    The status is "ok" when every process was, else that of the first that was not, whose reason it carries; numbers are
    those of the processes that are ok. "images_per_second" counts the images that a sample says one call has.
    """
    step, images, bad = geometric(cell.seconds), cell.first("images"), cell.first_not_ok
    speed = step.mapped(lambda seconds: images / seconds) if step and images else None
    update = geometric(cell.values(lambda sample: (sample.get("phases") or {}).get("update")))
    row = {
        "question": cell.question,
        **cell.identity,
        "status": bad["status"] if bad else "ok",
        "reason": bad["reason"] if bad else None,
        "status_counts": cell.status_counts,
        "processes": len(cell.samples),
        "block_seconds": cell.block_seconds,
        "images_per_second": estimate(speed),
        "images_per_second_interval": bounds(speed),
        "step_ms": estimate(step, 1e3),
        "step_ms_interval": bounds(step, 1e3),
        "drift": cell.median(_drift),
        "phases": _phases(cell, step),
        "update_ms": estimate(update, 1e3),
        "update_ms_interval": bounds(update, 1e3),
        "update_share": update.estimate / step.estimate if update and step else None,
        "host_ms": _scaled(cell.median(lambda sample: sample.get("host_seconds")), 1e3),
        "operators": cell.median(lambda sample: sample.get("operators")),
        "operator_us": _scaled(cell.median(lambda sample: sample.get("operator_seconds")), 1e6),
        "memory": _memory(cell),
        "minor_faults_per_image": cell.median(lambda sample: _per_image(sample, _faults(sample))),
        "energy_joules_per_image": cell.median(lambda sample: _per_image(sample, sample.get("energy_joules"))),
        "sm_clock_mhz": _clock(cell),
        "throttled_share": cell.median(lambda sample: sample.get("throttled_share")),
        "power_w": cell.median(lambda sample: sample.get("power_w")),
        "allocator_settings": cell.first("allocator"),
    }
    return row | {name: cell.first(name) for name in ("energy_source", "tf32", "cudnn_benchmark")}


def _drift(sample: Sample) -> float | None:
    """How much slower the last block is than the first: a machine that warms up or is shared shows here."""
    if not sample["blocks"]:
        return None
    (first_calls, first, *_), (last_calls, last, *_) = sample["blocks"][0], sample["blocks"][-1]
    return float((last / last_calls) / (first / first_calls) - 1)


def _phases(cell: MeasuredCell, step: Interval | None) -> dict[str, float | None] | None:
    """Medians over processes; "unexplained_ms" is what they leave of the uninstrumented step (below 0: overlap)."""
    measured = cell.values(lambda sample: sample.get("phases")).values()
    if not measured or step is None:
        return None
    parts: dict[str, float | None] = {}
    for name in next(iter(measured)):
        known = [phases[name] for phases in measured if phases.get(name) is not None]
        parts[f"{name}_ms"] = 1e3 * statistics.median(known) if known else None
    return parts | {"unexplained_ms": 1e3 * step.estimate - sum(part for part in parts.values() if part is not None)}


def _memory(cell: MeasuredCell) -> dict[str, int | None] | None:
    """The most that any process held, kind by kind."""
    samples = cell.values(lambda sample: sample.get("memory")).values()
    kinds = dict.fromkeys(kind for memory in samples for kind in memory)
    held = {kind: [memory[kind] for memory in samples if memory.get(kind) is not None] for kind in kinds}
    return {kind: max(values, default=None) for kind, values in held.items()} or None


def _faults(sample: Sample) -> int:
    return sum(block[FAULTS] for block in sample["blocks"])


def _per_image(sample: Sample, total: float | None) -> float | None:
    """Of a total over all blocks."""
    images = (sample.get("images") or 0) * sum(block[CALLS] for block in sample["blocks"])
    return total / images if images and total is not None else None


def _clock(cell: MeasuredCell) -> float | None:
    clocks = [block[CLOCK] for block in cell.blocks if block[CLOCK] is not None]
    return float(statistics.median(clocks)) if clocks else None


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else scale * value
