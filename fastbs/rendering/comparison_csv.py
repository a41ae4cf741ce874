"""A comparison's rows for a spreadsheet."""

from __future__ import annotations

import csv
import io
from typing import Any

from fastbs.rendering.comparison_rows import Row
from fastbs.rendering.lines import one_line

PLAIN = ("level", "p", "smallest_visible", "spread_from", "verdict", "worse")
SIDE = ("status", "reason", "value", "processes")


def comparison_csv(document: dict[str, Any]) -> str:
    """One line for each row, always with the same columns; numbers in full, notes joined."""
    text = io.StringIO()
    names = ["name", "batch_size", "metric", *[f"{side}_{part}" for side in ("base", "head") for part in SIDE]]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, "change", "low", "high", *PLAIN, "notes"])
    for row in document["rows"]:
        writer.writerow([one_line(cell) if isinstance(cell, str) else cell for cell in _cells(row)])
    return text.getvalue().removesuffix("\n")


def _cells(row: Row) -> list[Any]:
    sides = [row[side][part] for side in ("base", "head") for part in SIDE]
    low, high = row["interval"] or (None, None)
    first = [row["name"], row["batch_size"], row["metric"], *sides, row["change"], low, high]
    return [*first, *(row[name] for name in PLAIN), "; ".join(row["notes"])]
