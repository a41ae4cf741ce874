"""Time to a target against the number of GPUs as a table, as Markdown or as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

from fastbs.rendering.lines import within_width
from fastbs.rendering.numbers import NOTHING, count, percent, significant
from fastbs.results.files import dump_json

NAMES = ["GPUs", "batch", "each", "epochs", "step ms", "network", "seconds", "band", "efficiency", "x2 saves", "limit"]


def render_scale(document: Mapping[str, Any], style: str) -> str:
    """`document` is that of `analysis.scale.scale_table`, `style` is table, markdown or json; no final newline."""
    if style == "json":
        return dump_json(document).removesuffix("\n")
    markdown = style == "markdown"
    rows = [_row(row) for row in document["rows"]]
    align = ["right"] * len(NAMES)
    form = "pipe" if markdown else "plain"
    table = tabulate(rows, NAMES, tablefmt=form, colalign=align, disable_numparse=True)
    bullet = "- " if markdown else " "
    below = [_stops(document), *(f"Assumed: {assumption}." for assumption in document["assumptions"])]
    return "\n".join([table, "", *(line for text in below for line in within_width(text, bullet))])


def _row(row: Mapping[str, Any]) -> list[str]:
    step = row["step_seconds"]
    return [
        count(row["gpus"]),
        count(row["batch_size"]),
        count(row["images_per_gpu"]),
        significant(row["epochs"]),
        significant(None if step is None else 1e3 * step),
        percent(row["communication"]),
        significant(row["seconds"]),
        f"{significant(row['band'][0])} to {significant(row['band'][1])}" if row["band"] else NOTHING,
        percent(row["efficiency"]),
        percent(row["doubling_saves"]),
        row["binds"] or "",
    ]


def _stops(document: Mapping[str, Any]) -> str:
    stops, largest = document["stops"], count(document["inputs"]["largest_batch_size"])
    if stops["gpus"] is None:
        return f"Doubling the GPUs pays up to the largest batch size that the law is trusted at, {largest}."
    each = [count(gpus) if gpus else "no number" for gpus in stops["of_each_model"]]
    return (
        f"More GPUs stop paying at {count(stops['gpus'])}: doubling them saves less than {percent(stops['worth'])} of"
        f" the time (by the models of communication alone: {' and '.join(each)})."
    )
