"""An advice as text, as Markdown, as JSON or as CSV."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from tabulate import tabulate

from fastbs.rendering.advice_columns import columns_of
from fastbs.rendering.advice_inference import inference_sentences
from fastbs.rendering.advice_sentences import (
    commands,
    give_sentences,
    headline,
    limit_sentences,
    refusal_sentences,
    time_sentence,
    unknown_sentences,
)
from fastbs.rendering.card import card_line
from fastbs.rendering.lines import within_width
from fastbs.results.files import dump_json


def render_advice(document: dict[str, Any], style: str) -> str:
    """`style` is table, markdown, json or csv (the counterfactuals); the text ends without a newline.

    Commands stand on lines of their own, never wrapped.
    """
    if style == "json":
        return dump_json(document).removesuffix("\n")
    if style == "csv":
        return _csv(document["counterfactuals"])
    return "\n".join(_markdown(document) if style == "markdown" else _text(document))


def _text(document: dict[str, Any]) -> list[str]:
    lines = [headline(document)]
    lines += [line for text in _above(document) for line in within_width(text, " ")]
    if document["command"]:
        lines.append(f" {document['command']}")
    for name, text in _why(document):
        lines += within_width(text, f"{name:<10} ")
    lines += [_table(document, "plain")]
    lines += [line for text in _below(document) for line in within_width(text, " ")]
    lines += [f" {name}: {command}" for name, command in commands(document)]
    return lines


def _markdown(document: dict[str, Any]) -> list[str]:
    lines = [f"**{headline(document)}**", ""]
    lines += [line for text in _above(document) for line in within_width(text, "- ")]
    if document["command"]:
        lines += ["", "```", document["command"], "```"]
    why = [f"**{name}** {text}" if name else text for name, text in _why(document)]
    lines += [""] + [line for text in why for line in within_width(text, "- ")]
    lines += ["", _table(document, "pipe"), ""]
    lines += [line for text in _below(document) for line in within_width(text, "- ")]
    for name, command in commands(document):
        lines += ["", f"{name}:", "", "```", command, "```"]
    return lines


def _above(document: dict[str, Any]) -> list[str]:
    """What is recommended, or why nothing is."""
    if document["refused"]:
        return refusal_sentences(document)
    if document["recommended"] is None:
        return give_sentences(document)
    return [card_line(document["card"]), time_sentence(document), *limit_sentences(document)]


def _why(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and texts; of the inference batch size, where a limit on latency was given, several without a name."""
    inference = inference_sentences(document["latency"]) if "latency" in document else []
    why = [(name, text) for name, text in document["why"].items() if text]
    return why + [("" if number else "inference", text) for number, text in enumerate(inference)]


def _below(document: dict[str, Any]) -> list[str]:
    return [*unknown_sentences(document), *(f"warning: {warning}" for warning in document["warnings"])]


def _table(document: dict[str, Any], layout: str) -> str:
    columns = columns_of(document)
    cells = [[cell(row) for _, cell in columns] for row in document["counterfactuals"]]
    align = ["right"] * (len(columns) - 1) + ["left"]
    return tabulate(
        cells, [name for name, _ in columns], tablefmt=layout, colalign=align if cells else None, disable_numparse=True
    )


def _csv(rows: list[dict[str, Any]]) -> str:
    """A line for each batch size; what is no plain value is JSON."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: json.dumps(v) if isinstance(v, list | dict) else v for key, v in row.items()})
    return text.getvalue().removesuffix("\n")
