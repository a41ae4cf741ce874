"""The columns of an advice's table: what each batch size would cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastbs.rendering.numbers import NOTHING, count, percent, significant, size

Row = Mapping[str, Any]
Column = tuple[str, Callable[[Row], str]]


def columns_of(document: Mapping[str, Any]) -> list[Column]:
    """Columns that nothing is known for are left out."""
    rows = document["counterfactuals"]
    optional: list[tuple[str, Column]] = [
        ("images_per_second", ("images/s", lambda row: count(row["images_per_second"]))),
        ("epochs_to_target", (f"epochs to {document['target']:g}", lambda row: significant(row["epochs_to_target"]))),
        ("seconds", ("time", _time)),
        ("curve_seconds", ("by the curve", lambda row: duration(row["curve_seconds"]))),
        ("vs_best", ("vs best", lambda row: signed_percent(row["vs_best"]))),
        ("memory_bytes", ("memory", lambda row: size(row["memory_bytes"]))),
        ("energy_joules", ("energy J", lambda row: significant(row["energy_joules"]))),
    ]
    known = [column for key, column in optional if any(row[key] is not None for row in rows)]
    reached: list[Column] = [("reached", _reached)] if any(row["success"]["runs"] for row in rows) else []
    return [("batch", lambda row: count(row["batch_size"])), *known, *reached, ("", _remark)]


def duration(seconds: float | None) -> str:
    """0.25 -> "0.250 s", 95 -> "95.0 s", 1620 -> "27 min", 26820 -> "7 h 27"."""
    if seconds is None:
        return NOTHING
    if seconds < 99.5:
        return f"{significant(seconds)} s"
    minutes = round(seconds / 60)
    if seconds < 5400:
        return f"{seconds / 60:.1f} min" if seconds < 600 else f"{minutes} min"
    return f"{minutes // 60:,} h {minutes % 60:02d}"


def signed_percent(share: float | None) -> str:
    """0.17 -> "+17 %"; no sign for what rounds to zero."""
    return NOTHING if share is None else f"{round(100 * share):+d} %".replace("+0 %", "0 %")


def _time(row: Row) -> str:
    if row["seconds"] is None:
        return NOTHING
    low, high = row["seconds_interval"] or (None, None)
    if low is None:
        return duration(row["seconds"])
    ends = f"{duration(row['seconds'])} [{duration(low)}, {duration(high) if high is not None else 'never'}]"
    coverage = row["seconds_coverage"]
    return ends if coverage is None or coverage >= 0.95 else f"{ends} ({percent(coverage)})"


def _reached(row: Row) -> str:
    success = row["success"]
    return f"{success['reached']}/{success['runs']}" if success["runs"] else NOTHING


def _remark(row: Row) -> str:
    """Why this row is the one, or is not."""
    said = ["<- recommended"] if row["recommended"] else []
    said += [row["refused"]] if row["refused"] else []
    said += ["beyond a limit"] if not row["keeps_limits"] else []
    said += [] if row["refused"] or row["status"] in ("ok", "untried") else [_counts(row["status_counts"])]
    return ", ".join(said)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {status}" for status, n in counts.items())
