"""From what processes measured to the document of a bench: every row, and the curves through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastbs.analysis.accuracy_rows import accuracy
from fastbs.analysis.bench_curves import make_curve
from fastbs.analysis.bench_identity import curve_key
from fastbs.analysis.bench_ratios import input_gap, loader_ratios, update_ratios
from fastbs.analysis.bench_rows import make_bench_row
from fastbs.analysis.latency_rows import latency
from fastbs.analysis.measured_cell import MeasuredCell
from fastbs.analysis.update_rows import steps_of_model, update_costs, update_curve
from fastbs.results.files import SCHEMA

PROTOCOL = 1  # raised when what a time contains changes: times of different protocols are not comparable
WITHOUT_CURVE = ("update", "accuracy")


def bench_document(
    cells: Sequence[Mapping[str, Any]],
    outcomes: Sequence[Sequence[Mapping[str, Any]]],
    *,
    settings: Mapping[str, Any],
    machine: Mapping[str, Any],
    timed: str,
) -> dict[str, Any]:
    """The document of kind "bench". `cells` are {"question", "identity"}; outcomes[cell] are those of its processes.

    An outcome is {"process": round, "status", "reason", "value": sample or None}; outcomes with the same round are
    paired. Every cell is a row, in the order given; curves are in the order of their first rows. `timed` says in a
    sentence what a time contains.
    """
    measured = [
        MeasuredCell(cell["question"], cell["identity"], of_cell) for cell, of_cell in zip(cells, outcomes, strict=True)
    ]
    rows = [_row(cell, measured) for cell in measured]
    curves: dict[Any, list[tuple[MeasuredCell, dict[str, Any]]]] = {}
    for cell, row in zip(measured, rows, strict=True):
        if row["question"] not in WITHOUT_CURVE:
            curves.setdefault(curve_key(row), []).append((cell, row))
        if row["question"] == "update":
            row["curve"] = update_curve(row["us"], steps_of_model(rows, row["model"]))
    return {
        "schema": SCHEMA,
        "kind": "bench",
        "protocol": PROTOCOL,
        "questions": list(dict.fromkeys(cell.question for cell in measured)),
        "settings": settings,
        "machine": machine,
        "timed": timed,
        "rows": rows,
        "curves": [make_curve(pairs) for pairs in curves.values()],
    }


def _row(cell: MeasuredCell, measured: Sequence[MeasuredCell]) -> dict[str, Any]:
    def find(question: str, identity: Mapping[str, Any]) -> MeasuredCell | None:
        return next((other for other in measured if (other.question, other.identity) == (question, identity)), None)

    row = make_bench_row(cell)
    match cell.question:
        case "throughput":
            return row | input_gap(cell, find)
        case "data":
            return row | loader_ratios(cell, find)
        case "update":
            return row | update_costs(cell) | update_ratios(cell, find)
        case "accuracy":
            return row | accuracy(cell)
        case "inference":
            return row | latency(cell)
    return row
