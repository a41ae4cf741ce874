"""How a step's time depends on batch size, what its fixed part is made of, and which sizes are fast."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from fastbs.analysis.bench_identity import IDENTITY
from fastbs.analysis.measured_cell import MeasuredCell
from fastbs.analysis.spread import Spread
from fastbs.analysis.step_time import StepTimeFit
from fastbs.analysis.sweep_fit import fit_document, fit_steps
from fastbs.analysis.trend import fit_trend

ENOUGH = 0.95  # of the best images/s

Pair = tuple[MeasuredCell, dict[str, Any]]


def make_curve(pairs: Sequence[Pair]) -> dict[str, Any]:
    """The curve of cells that differ in batch size only, each with its row; rows that are not ok are left out.

    Writes "residual" (measured / fitted - 1) into the rows. "fit" is `fit_document`, with the form that was chosen:
    "line", t = alpha + beta B, or "floor", t = max(host, alpha + beta B); null where nothing could be fitted. "best"
    has most images/s, "within_5_percent" is the smallest that reaches 95 % of it, "knee" is where the flat part meets
    the slope: the end of the floor, or else B_half.
    """
    first = pairs[0][1]
    identity = {name: first[name] for name in IDENTITY[first["question"]] if name != "batch_size"}
    ok = sorted((pair for pair in pairs if pair[0].ok), key=lambda pair: int(pair[1]["batch_size"]))
    rows = [row for _, row in ok]
    fit = fit_steps({row["batch_size"]: cell.seconds for cell, row in ok}, nothing="no batch size is ok")
    found = fit if isinstance(fit, StepTimeFit) else None
    residuals = dict(zip(found.batch_sizes, found.residuals, strict=True)) if found else {}
    for _, row in pairs:
        row["residual"] = residuals.get(row["batch_size"])
    return {
        "question": first["question"],
        **identity,
        "batch_sizes": [row["batch_size"] for row in rows],
        "fit": {"form": found and ("floor" if found.host else "line")} | fit_document(fit),
        **_fast_sizes(rows),
        "knee": found and _knee(found),
        "fixed": found and _fixed(found, rows),
        "update_trend": _update_trend(ok),
    }


def _fast_sizes(rows: Sequence[dict[str, Any]]) -> dict[str, int | None]:
    speeds = {row["batch_size"]: row["images_per_second"] for row in rows if row["images_per_second"] is not None}
    best = max(speeds.values(), default=0.0)
    return {
        "best": max(speeds, key=lambda size: speeds[size], default=None),
        "within_5_percent": min((size for size, speed in speeds.items() if speed >= ENOUGH * best), default=None),
    }


def _knee(fit: StepTimeFit) -> float:
    return (fit.host - fit.alpha) / fit.beta if fit.host else fit.b_half


def _fixed(fit: StepTimeFit, rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """What the fixed time of a step is made of, each part measured by itself; None without a measured update.

    The parts are geometric means over batch sizes. The host's is what enqueueing a step takes on a GPU, and on a CPU
    the operators of a step times the cost of dispatching one. What is left is "rest_ms". A GPU works beside the host
    that enqueues: of the two only the slower is taken off there, the host where there is a floor, else the update.
    """
    update = _over_sizes(row["update_ms"] for row in rows)
    if update is None:
        return None
    enqueue = _over_sizes(row["host_ms"] for row in rows)
    dispatch = _over_sizes(
        row["operators"] * row["operator_us"] / 1e3
        for row in rows
        if row["operators"] is not None and row["operator_us"] is not None
    )
    total = 1e3 * (fit.host or fit.alpha)
    host = dispatch if enqueue is None else enqueue
    what = "operators x cost of one" if enqueue is None else "enqueue"
    return {
        "total_ms": total,
        "update_ms": update,
        "host_ms": host,
        "rest_ms": total - (update + (dispatch or 0.0) if enqueue is None else enqueue if fit.host else update),
        "host_is": None if host is None else what,
    }


def _over_sizes(values: Iterable[float | None]) -> float | None:
    """Their geometric mean; a size where nothing was measured, or nothing was there to measure (0), is left out."""
    known = [value for value in values if value]
    return statistics.geometric_mean(known) if known else None


def _update_trend(ok: Sequence[Pair]) -> dict[str, Any] | None:
    """Change of the update's time with every doubling of batch size, in percent; its 95 % interval over processes.

    Least squares on logarithms, each round by itself; null where fewer than two sizes or no round measured it.
    """
    logs = {
        row["batch_size"]: {
            process: math.log(seconds)
            for process, seconds in cell.values(lambda sample: (sample.get("phases") or {}).get("update")).items()
        }
        for cell, row in ok
    }
    try:
        slopes = fit_trend(logs, Spread()).points_per_doubling
    except ValueError:
        return None
    trend = slopes.mapped(lambda slope: 100 * math.expm1(slope))
    return {"percent_per_doubling": trend.estimate, "interval": trend.bounds()}
