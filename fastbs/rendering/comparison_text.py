"""A comparison for a terminal: every row, the ones that need attention first."""

from __future__ import annotations

import unicodedata
from typing import Any

from fastbs.rendering.comparison_curves import curve_sentence, ranked_curves
from fastbs.rendering.comparison_numbers import change_text
from fastbs.rendering.comparison_rows import (
    Row,
    batch_text,
    changed,
    processes_text,
    reasons,
    values_text,
    verdict_text,
    with_verdict,
)
from fastbs.rendering.comparison_sentences import (
    blind_line,
    difference_text,
    gate_item,
    gate_line,
    headline,
    how_decided,
    ranked_differences,
    tier_text,
)
from fastbs.rendering.lines import WIDTH, one_line, within_width

HEADER = ("what", "batch", "change", "verdict", "base → head", "processes")


def comparison_text(document: dict[str, Any]) -> str:
    """At most WIDTH columns; long names lose their middle."""
    rows = document["rows"]
    ordered = [*changed(rows), *with_verdict(rows, "cannot tell"), *with_verdict(rows, "same")]
    first = [line for text in (blind_line(document), "".join(headline(document, _name))) for line in within_width(text)]
    return "\n".join([*filter(None, first), *_table(ordered), *_below(document, ordered)])


def _name(text: str) -> str:
    return middle_cut(one_line(text), 60)


def middle_cut(text: str, width: int) -> str:
    """At most `width` letters: names often differ at their end only."""
    tail = (width - 1) // 2
    return text if len(text) <= width else f"{text[: width - 1 - tail]}…{text[-tail:]}"


def _table(rows: list[Row]) -> list[str]:
    if not rows:
        return []
    cells = [_cells(row) for row in rows]
    columns = [[title, *column] for title, column in zip(HEADER, zip(*cells, strict=True), strict=True)]
    columns = [column for column in columns if any(column[1:])]
    others = sum(max(map(_columns, column)) + 2 for column in columns[1:])
    columns[0] = [_fit(one_line(name), max(12, WIDTH - others)) for name in columns[0]]
    padded = [_padded(column, right=column[0] in ("batch", "processes")) for column in columns]
    return ["  ".join(line).rstrip() for line in zip(*padded, strict=True)]


def _cells(row: Row) -> list[str]:
    change = "" if row["change"] is None else change_text(row, row["metric"])
    values = values_text(row, _name)
    return [row["name"], batch_text(row), change, verdict_text(row), values, processes_text(row)]


def _fit(text: str, width: int) -> str:
    room = width
    while _columns(text) > width:
        text = middle_cut(text, room := room - 1)
    return text


def _padded(column: list[str], *, right: bool) -> list[str]:
    width = max(map(_columns, column))
    spaces = [" " * (width - _columns(text)) for text in column]
    return [space + text if right else text + space for text, space in zip(column, spaces, strict=True)]


def _columns(text: str) -> int:
    """Columns of a terminal: some letters of Asian scripts take two, accents that combine take none."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def _below(document: dict[str, Any], ordered: list[Row]) -> list[str]:
    gate = document["gate"]
    lines = [curve_sentence(curve, _name) for curve in ranked_curves(document["curves"])]
    lines += [f"{_where(row)}: {note}" for row in ordered for note in [*row["notes"], *reasons(row, _name)]]
    for d in ranked_differences(document):
        lines.append(f"{one_line(d['name'])}: {difference_text(d, _name)} ({tier_text(d)})")
    lines.append(gate_line(document))
    lines += [f"fired: {gate_item(item, _name, one_line)}" for item in gate["fired"]]
    # Of rows, the table says what could have been seen.
    lines += [f"blind: {gate_item(item, _name, one_line)}" for item in gate["blind"] if item["row"] is None]
    lines += how_decided(document, _name)
    return [line for text in lines for line in within_width(text, " ")]


def _where(row: Row) -> str:
    return _name(row["name"]) + ("" if row["batch_size"] is None else f" at B={row['batch_size']}")
