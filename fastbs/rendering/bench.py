"""A bench as tables with what follows from them, as Markdown, as JSON or as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

from fastbs.analysis.bench_identity import IDENTITY, curve_key
from fastbs.rendering.bench_columns import columns_of
from fastbs.rendering.bench_inference import inference_sentences, net_text
from fastbs.rendering.bench_sentences import (
    curve_sentences,
    largest_sentence,
    phase_sentences,
    reason_sentence,
    routine_sentence,
    share_sentence,
    statistics_sentence,
)
from fastbs.rendering.lines import one_line, within_width
from fastbs.rendering.numbers import NOTHING
from fastbs.rendering.processor import processor
from fastbs.results.files import dump_json

Rows = list[dict[str, Any]]
IN_COLUMNS = {"data": ("loader",), "inference": ("backend",)}


def render_bench(document: dict[str, Any], style: str) -> str:
    """`style` is table, markdown, json or csv; the text ends without a newline.

    One block for each curve, smallest batch first, ranked by images per second. Loaders stand in one block, so that
    they can be compared; updates in one for each model.
    """
    if style == "json":
        return dump_json(document).removesuffix("\n")
    if style == "csv":
        return _csv(document["rows"])
    markdown = style == "markdown"
    curves = {curve_key(curve): curve for curve in document["curves"]}
    blocks: dict[Any, Rows] = {}
    for row in document["rows"]:
        blocks.setdefault(_block_key(row), []).append(row)
    parts = [_block(rows, _curves_of(rows, curves), document, markdown) for rows in blocks.values()]
    largest = [largest_sentence(found) for found in document.get("find_max", [])]
    return "\n\n".join(["\n".join(part) for part in [*parts, [*largest, *within_width(document["timed"])]]])


def _block_key(row: Mapping[str, Any]) -> Any:
    match row["question"]:
        case "update":
            return ("update", row["model"], row["optimizer"])
        case "data":
            return ("data", row["image_size"])
        case "inference":
            return ("inference", row["model"])
    return curve_key(row)


def _curves_of(rows: Rows, curves: Mapping[Any, dict[str, Any]]) -> list[dict[str, Any]]:
    return [curves[key] for key in dict.fromkeys(map(curve_key, rows)) if key in curves]


def _block(rows: Rows, curves: list[dict[str, Any]], document: dict[str, Any], markdown: bool) -> list[str]:
    question = rows[0]["question"]
    ordered = rows if question == "update" else sorted(rows, key=lambda row: row["batch_size"])
    columns = columns_of(question, ordered)
    names, cells = [name for name, _ in columns], [[cell(row) for _, cell in columns] for row in ordered]
    layout: dict[str, Any] = {"tablefmt": "pipe", "headers": "firstrow"} if markdown else {"tablefmt": "plain"}
    colalign = ["left" if name in ("update", "loader", "net") else "right" for name in names]
    table = tabulate([names, *cells], colalign=colalign, disable_numparse=True, **layout)
    below = share_sentence(ordered) + routine_sentence(ordered) + statistics_sentence(ordered)
    on_gpu = document["settings"].get("device") == "cuda"
    if question == "inference":  # runs of a sweep differ in their weights only; why a net has no curve is said below
        alike = len({row["trained_at"] for row in rows}) == 1
        curves = [curve for curve in curves if alike and curve["batch_sizes"]]
    for curve in curves:
        name = _named_curve(curve, rows)
        below += [name + sentence for sentence in curve_sentences(curve, on_gpu)]
    below += phase_sentences(ordered)
    if question == "inference":
        below += inference_sentences(ordered)
    else:
        below += [reason_sentence(row) for row in ordered if row["reason"]]
    bullet = "- " if markdown else " "
    below = [line for text in below for line in within_width(text, bullet)]
    space = [""] if markdown else []
    return [*within_width(_headline(rows, document)), *space, table, *space, *below]


def _named_curve(curve: Mapping[str, Any], rows: Rows) -> str:
    """Where several curves share a table."""
    match curve["question"]:
        case "data":
            return f"{curve['loader']}: "
        case "inference":
            return f"{net_text(curve, rows)}: "
    return ""


def _headline(rows: Rows, document: dict[str, Any]) -> str:
    """What is measured on what, by how many processes."""
    row, settings = rows[0], document["settings"]
    without = ["batch_size", "implementation", "input", *IN_COLUMNS.get(row["question"], ())]
    same = [name for name in IDENTITY[row["question"]] if len({other[name] for other in rows}) == 1]
    named = [_named(name, row[name]) for name in same if name not in without]
    device = settings.get("device")
    where = f"{device or NOTHING} ({processor(document['machine'], device)})"
    threads = _several(settings.get("threads"), "thread", "threads")
    processes = _several(max(sum(row["status_counts"].values()) for row in rows), "process", "processes")
    return one_line(f"{row['question']}: {' · '.join([*filter(None, named), where, threads, processes])}")


def _several(number: int | None, one: str, more: str) -> str:
    return f"{number or NOTHING} {one if number == 1 else more}"


def _named(name: str, value: Any) -> str:
    match name:
        case "loader":
            return f"{value} input" if value == "synthetic" else f"{value} loader"
        case "image_size":
            return f"{value} px"
        case "allocator":
            return "" if value == "fastbs" else f"{value} allocator"
        case "trained_at":
            return "" if value is None else f"trained at {value:,}"
        case "cuda_graph":
            return "CUDA graph" if value else ""
    return str(value)


def _csv(rows: Rows) -> str:
    """A line for each row; parts of a value (phases, memory) are columns of their own, lists are JSON.

    The thousands of calls whose percentiles are columns are left out.
    """
    flat = [{key: value for key, value in _flat(row) if key != "latency_samples_ms"} for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in flat for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue().removesuffix("\n")


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", json.dumps(value) if isinstance(value, list) else value))
    return found
