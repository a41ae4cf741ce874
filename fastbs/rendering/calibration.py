"""The noise of a machine as a table, as Markdown, as JSON or as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

from fastbs.analysis.comparison.estimate import Estimate, with_session
from fastbs.analysis.comparison.names import name_of
from fastbs.rendering.lines import within_width
from fastbs.results.files import dump_json

SIDES = (1, 3, 5, 10)  # processes a side whose smallest visible change is shown
LEVEL = 0.05  # of one row by itself
OF_ONE_SESSION = (
    "noise: standard deviation between two processes of the same code, over the whole session; paired: between two "
    "that follow each other, as fastbs ab measures; visible: the change that would be called one with 80 % "
    "probability, in one row by itself. Files of different days may differ by more (fastbs calibrate --sessions)."
)
OF_SESSIONS = (
    "noise: standard deviation between two processes of the same code in one session; between sessions: between two "
    "sessions, on top of it; visible: the change that would be called one with 80 % probability, in one row by itself, "
    "with so many processes a side and each side in a session of its own."
)


def render_calibration(document: dict[str, Any], style: str) -> str:
    """`style` is table, markdown, json or csv; the text ends without a newline."""
    if style == "json":
        return dump_json(document).removesuffix("\n")
    sessions = any("session_noise" in row for row in document["rows"])
    second = "between sessions" if sessions else "paired"
    names = ["row", "batch", "noise", second, *(f"visible with {n}+{n}" for n in SIDES)]
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
    return "\n".join([table, "", *within_width(OF_SESSIONS if sessions else OF_ONE_SESSION)])


def _row(row: Mapping[str, Any]) -> list[str]:
    key = tuple(row["key"].items())
    size = row["key"].get("batch_size")
    return [
        name_of(key),
        "" if size is None else str(size),
        _percent(row["noise"]),
        _percent(row["session_noise"] if "session_noise" in row else row["paired_noise"]),
        *(_percent(math.expm1(_visible(row, number))) for number in SIDES),
    ]


def _visible(row: Mapping[str, Any], processes: int) -> float:
    of_processes = Estimate(0.0, row["noise"] / math.sqrt(processes), row["df"], "calibration")
    if "session_noise" not in row:
        return of_processes.smallest_visible(LEVEL)
    return with_session(of_processes, row["session_noise"], row["session_df"]).smallest_visible(LEVEL)


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"
