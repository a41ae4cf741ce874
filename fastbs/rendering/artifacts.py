"""Exported nets, and what their checks found, as tables or JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

from fastbs.rendering.lines import within_width
from fastbs.rendering.numbers import NOTHING, count, size
from fastbs.results.files import dump_json

Row = Mapping[str, Any]
EXPORTED = {
    "artefact": lambda row: row["folder"],
    "to": lambda row: row["to"],
    "precision": lambda row: row["precision"],
    "batch": lambda row: row["artifact"]["profiles"] if row["artifact"] else NOTHING,
    "size": lambda row: (
        size(sum(f["bytes"] for f in row["artifact"]["files"].values())) if row["artifact"] else NOTHING
    ),
    "status": lambda row: row["status"],
}
CHECKED = {
    "artefact": lambda row: row["folder"],
    "images": lambda row: count(row.get("images")),
    "top1 trained": lambda row: _top1(row.get("top1_reference")),
    "exported": lambda row: _top1(row.get("top1")),
    "flips": lambda row: count(row.get("flips")),
    "error": lambda row: _error(row.get("error"), row.get("rounded", {}).get("error")),
    "computed by": lambda row: row.get("evaluator", NOTHING),
    "status": lambda row: "graph ok" if row["status"] == "ok" and _not_run(row) else row["status"],
}
ERROR = "error: the largest difference of a logit, over the standard deviation of the trained net's logits (fp32)"


def render_exports(document: Mapping[str, Any], style: str) -> str:
    """`document` is that of `deployment.jobs.export_all`; `style` is table, markdown, json or csv."""
    rows = document["artifacts"]
    return _render(
        document, rows, EXPORTED, style, [f"{row['folder']}: {row['reason']}" for row in rows if row["reason"]]
    )


def render_checks(document: Mapping[str, Any], style: str) -> str:
    """`document` is that of `deployment.jobs.check_all`; `style` is table, markdown, json or csv."""
    notes = []
    for row in document["checks"]:
        notes += [f"{row['folder']}: {failure}" for failure in row.get("failures", [])]
        notes += [f"{row['folder']}: not checked: {row['reason']}"] if row["reason"] else []
        if _not_run(row):
            notes.append(f"{row['folder']}: engine {row['engine']}; what was computed is the graph it was built from")
        if row.get("same_images") is False:
            notes.append(f"{row['folder']}: checked on {row['dataset']}, which are not the images of its run")
    rounded = [row["rounded"] for row in document["checks"] if "images" in row.get("rounded", {})]
    for evaluator, images in {one["evaluator"]: one["images"] for one in rounded}.items():
        notes.append(f"fp16: {images} images also by the {evaluator}, which rounds every result to fp16")
    return _render(document, document["checks"], CHECKED, style, [*notes, ERROR])


def _not_run(row: Row) -> bool:
    return row.get("engine") not in (None, "run")


def _render(
    document: Mapping[str, Any], rows: list[Row], columns: Mapping[str, Any], style: str, notes: list[str]
) -> str:
    if style == "json":
        return dump_json(document).removesuffix("\n")
    cells = [[str(cell(row)) for cell in columns.values()] for row in rows]
    if style == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([[*columns, "reason"], *([*line, _why(row)] for line, row in zip(cells, rows, strict=True))])
        return text.getvalue().removesuffix("\n")
    form = "pipe" if style == "markdown" else "plain"
    table = tabulate(cells, list(columns), tablefmt=form, disable_numparse=True)
    bullet = "- " if style == "markdown" else " "
    return "\n".join([table, "", *(line for note in notes for line in within_width(note, bullet))]).rstrip()


def _error(*errors: Mapping[str, float | None] | None) -> str:
    """The largest; what is not finite has none."""
    largest = [error["max"] for error in errors if error is not None]
    finite = [one for one in largest if one is not None]
    return f"{max(finite):.2g}" if finite and len(finite) == len(largest) else NOTHING


def _why(row: Row) -> str:
    return "; ".join([*([row["reason"]] if row["reason"] else []), *row.get("failures", [])])


def _top1(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4f}".removeprefix("0")
