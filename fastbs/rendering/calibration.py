"""The noise of a machine as a table, as Markdown, as JSON or as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

from fastbs.analysis.comparison.estimate import Estimate
from fastbs.analysis.comparison.names import name_of
from fastbs.rendering.lines import within_width
from fastbs.results.files import dump_json

SIDES = (1, 3, 5, 10)  # processes a side whose smallest visible change is shown
LEVEL = 0.05  # of one row by itself


def render_calibration(document: dict[str, Any], style: str) -> str:
    """`style` is table, markdown, json or csv; the text ends without a newline."""
    if style == "json":
        return dump_json(document).removesuffix("\n")
    names = ["row", "batch", "noise", "paired", *(f"visible with {n}+{n}" for n in SIDES)]
    rows = [_row(row) for row in document["rows"]]
    if style == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([names, *rows])
        return text.getvalue().removesuffix("\n")
    markdown = style == "markdown"
    table = tabulate(
        rows,
        names,
        tablefmt="pipe" if markdown else "plain",
        colalign=["left", *["right"] * (len(names) - 1)],
        disable_numparse=True,
    )
    below = (
        "noise: standard deviation between two processes of the same code, over the whole session; paired: between two "
        "that follow each other, as fastbs ab measures; visible: the change that would be called one with 80 % "
        "probability, in one row by itself. Files of different days may differ by more."
    )
    return "\n".join([table, "", *within_width(below)])


def _row(row: Mapping[str, Any]) -> list[str]:
    key = tuple(row["key"].items())
    size = row["key"].get("batch_size")
    return [
        name_of(key),
        "" if size is None else str(size),
        _percent(row["noise"]),
        _percent(row["paired_noise"]),
        *(_percent(math.expm1(_visible(row, number))) for number in SIDES),
    ]


def _visible(row: Mapping[str, Any], processes: int) -> float:
    return Estimate(0.0, row["noise"] / math.sqrt(processes), row["df"], "calibration").smallest_visible(LEVEL)


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"
