"""The rows of a comparison in the order in which a reviewer needs them, and what their cells say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastbs.analysis.comparison.metrics import METRICS
from fastbs.rendering.comparison_numbers import OPEN, effect_text, value_text

Row = Mapping[str, Any]
Quote = Callable[[str], str]  # makes text from outside (a name, a reason, a fact) harmless where it is printed

NOT_MEASURED = ("failed", "missing", "new", "fixed", "not ok")  # verdicts that no number stands behind


def is_worse(row: Row) -> bool:
    return bool(row["verdict"] == METRICS[row["metric"]].worse)


def is_better(row: Row) -> bool:
    return bool(row["verdict"] == METRICS[row["metric"]].better)


def changed(rows: list[Row]) -> list[Row]:
    """Worse ones by size, then what failed, is missing, new or fixed, then better ones by size."""
    found = [row for row in rows if is_worse(row) or is_better(row) or row["verdict"] in NOT_MEASURED]
    return sorted(found, key=_urgency)


def with_verdict(rows: list[Row], verdict: str) -> list[Row]:
    return [row for row in rows if row["verdict"] == verdict]


def _urgency(row: Row) -> tuple[int, float]:
    if row["verdict"] in NOT_MEASURED:
        return 1 + NOT_MEASURED.index(row["verdict"]), 0.0
    size = -abs(row["change"] or 0.0)
    return (0, size) if is_worse(row) else (1 + len(NOT_MEASURED), size)


def batch_text(row: Row) -> str:
    return "" if row["batch_size"] is None else str(row["batch_size"])


def values_text(row: Row, quote: Quote) -> str:
    """Base, then head: "321 → 301 images/s"; a side without a value shows its status."""
    base, head = (_side_text(row[side], row["metric"], quote) for side in ("base", "head"))
    number, _, unit = base.partition(" ")
    return f"{number if unit and head.endswith(' ' + unit) else base} → {head}"


def processes_text(row: Row) -> str:
    base, head = row["base"]["processes"] or 0, row["head"]["processes"] or 0
    return f"{base} pairs" if row["spread_from"] == "pairs" else f"{base}+{head}"


def verdict_text(row: Row) -> str:
    """The verdict; one that could not be reached says which effect would have been seen."""
    if row["verdict"] == "cannot tell" and row["smallest_visible"] is not None and row["smallest_visible"] < OPEN:
        return f"cannot tell below {effect_text(row['smallest_visible'], row['metric'])}"
    return str(row["verdict"])


def reasons(row: Row, quote: Quote) -> list[str]:
    """Why a side has no number, as it was recorded."""
    return [f"{side.upper()}: {quote(row[side]['reason'])}" for side in ("base", "head") if row[side]["reason"]]


def _side_text(side: Row, metric: str, quote: Quote) -> str:
    if side["value"] is not None:
        return value_text(side["value"], metric)
    if side["status"] == "ok" and metric == "time_to_target_s":
        return "not reached"
    return quote(side["status"]) if side["status"] not in (None, "ok") else "none"
