"""A comparison as a comment on a pull request: the verdict first, what changed, the rest in folds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from fastbs.errors import BadInput
from fastbs.rendering.comparison_curves import curve_sentence, ranked_curves
from fastbs.rendering.comparison_github import LONGEST, alert, code, fold, length, prose, table, together
from fastbs.rendering.comparison_numbers import change_text
from fastbs.rendering.comparison_rows import (
    Row,
    batch_text,
    changed,
    is_worse,
    processes_text,
    reasons,
    values_text,
    verdict_text,
    with_verdict,
)
from fastbs.rendering.comparison_sentences import (
    blind_line,
    difference_text,
    environment_title,
    gate_item,
    gate_line,
    headline,
    how_decided,
    ranked_differences,
    tier_text,
)

SHOWN = 20  # rows of the open table
CURVES, RULES = 8, 5  # open lines
KEY = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")


@dataclass(frozen=True)
class Part:
    """A fold, and what the comment says when it had to be left out."""

    text: str
    name: str


def comparison_markdown(document: dict[str, Any], key: str) -> str:
    """A comment of at most LONGEST characters; it begins with the mark by which a later run finds it again.

    Of what is too long, whole folds go first, the largest first, then rows of the open table from its end.
    """
    if not KEY.fullmatch(key) or len(key) > 100:
        raise BadInput(f"--key: {key[:100]!r} is not a name of letters, digits and single . _ -; choose another")
    rows = changed(document["rows"])
    folds, dropped, shown = _folds(document, rows), list[str](), min(SHOWN, len(rows))
    above = f"<!-- fastbs:compare:{key} -->\n\n{_alert(document)}"
    curves = _bullets([curve_sentence(curve, code) for curve in ranked_curves(document["curves"])[:CURVES]])
    below = f"<sub>{' · '.join(how_decided(document, code))}</sub>"
    while True:
        lost = _left_out(dropped, min(SHOWN, len(rows)) - shown)
        parts = [above, _rows_table(rows[:shown]), curves, *(part.text for part in folds), lost, below]
        text = together("\n\n".join(filter(None, parts)))
        if length(text) <= LONGEST or not (folds or shown):
            return text
        if folds:
            largest = max(folds, key=lambda part: length(part.text))
            folds.remove(largest)
            dropped.append(largest.name)
        else:
            shown -= 1


def _left_out(folds: list[str], rows: int) -> str:
    names = [*folds, *([f"{rows} more rows that changed"] if rows else [])]
    said = f"Left out, to stay within {LONGEST:,} characters: {'; '.join(names)}. `--format csv` has every row."
    return said if names else ""


def _alert(document: dict[str, Any]) -> str:
    first, rest = headline(document, code)
    fired = document["gate"]["fired"]
    lines = [*filter(None, [blind_line(document)]), f"**{first}**{rest}", gate_line(document)]
    lines += [f"• {gate_item(item, code, prose)}" for item in fired[:RULES]]
    if len(fired) > RULES:
        lines.append(f"• and {len(fired) - RULES:,} more")
    return alert(_alert_kind(document), lines)


def _alert_kind(document: dict[str, Any]) -> str:
    exit_code, rows = document["gate"]["exit_code"], document["rows"]
    if exit_code in (3, 5):
        return "CAUTION"
    if exit_code == 1 or any(is_worse(row) or row["verdict"] in ("failed", "missing") for row in rows):
        return "WARNING"
    return "NOTE" if exit_code == 4 or document["gate"].get("unseen") or with_verdict(rows, "cannot tell") else "TIP"


def _rows_table(rows: list[Row]) -> str:
    """The columns that matter most stand first: a phone shows only those. A name that all rows share stands above."""
    if not rows:
        return ""
    names = {row["name"] for row in rows}
    columns = {
        "what": [code(row["name"]) if len(names) > 1 else "" for row in rows],
        "B": [batch_text(row) for row in rows],
        "change": ["" if row["change"] is None else change_text(row, row["metric"]) for row in rows],
        "verdict": [_verdict(row) for row in rows],
        "base → head": [values_text(row, code) for row in rows],
        "processes": [processes_text(row) for row in rows],
        "notes": ["; ".join([*map(prose, row["notes"]), *reasons(row, code)]) for row in rows],
    }
    kept = {name: cells for name, cells in columns.items() if any(cells)}
    above = f"{code(*names)}\n\n" if len(names) == 1 else ""
    return above + table(list(kept), list(zip(*kept.values(), strict=True)))


def _verdict(row: Row) -> str:
    worse = is_worse(row) or row["verdict"] in ("failed", "missing")
    return f"**{row['verdict']}**" if worse else verdict_text(row)


def _folds(document: dict[str, Any], rows: list[Row]) -> list[Part]:
    unclear, same = (with_verdict(document["rows"], verdict) for verdict in ("cannot tell", "same"))
    curves = [curve_sentence(curve, code) for curve in ranked_curves(document["curves"])[CURVES:]]
    gate = document["gate"]
    fired, blind = ([gate_item(item, code, prose) for item in gate[word]] for word in ("fired", "blind"))
    bodies = {
        f"{len(rows) - SHOWN:,} more rows that changed": _rows_table(rows[SHOWN:]),
        f"{len(fired) - RULES:,} more rules that fired": _bullets(fired[RULES:]),
        f"{len(unclear):,} cannot tell": _rows_table(unclear),
        f"{len(blind):,} in which the gate is blind": _bullets(blind),
        f"{len(same):,} the same": _rows_table(same),
        f"{len(curves):,} more curves": _bullets(curves),
        environment_title(document, prose): _environment(ranked_differences(document)),
    }
    return [Part(fold(title, body), title) for title, body in bodies.items() if body]


def _environment(differences: list[Row]) -> str:
    if not differences:
        return ""
    rows = [[code(d["name"]), difference_text(d, code), tier_text(d)] for d in differences]
    return table(["what", "base → head", ""], rows)


def _bullets(sentences: list[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)
