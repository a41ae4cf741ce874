"""A profile as a table with a sentence for each row, as Markdown, as JSON or as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tabulate import tabulate

from fastbs.analysis.step_bound import WITHIN, least_arithmetic_seconds
from fastbs.rendering.lines import one_line, within_width
from fastbs.rendering.numbers import NOTHING, count, percent, significant, size
from fastbs.rendering.processor import processor
from fastbs.results.files import dump_json

Row = Mapping[str, Any]
Column = tuple[str, Callable[[Row], str]]
FILLED = 0.5  # of the speed of a large product: less is lost by the sizes of tensors
TIMED = (
    "one fresh process a row; a step whole and a step in its phases in turns; input: waiting for images; rest: "
    "gradients dropped, loss and hits summed; H2D, idle and busy (the GPU) and what operators take are of a few steps "
    "under a profiler, the others are not"
)


def render_profile(document: dict[str, Any], style: str) -> str:
    """`style` is table, markdown, json or csv; the text ends without a newline."""
    rows = document["rows"]
    if style == "json":
        return dump_json(document).removesuffix("\n")
    if style == "csv":
        return _csv(rows)
    ok = [row for row in rows if row["status"] == "ok"]
    columns = [(name, cell) for name, cell in _columns() if name == "batch" or any(cell(r) != NOTHING for r in ok)]
    if len(ok) < len(rows):
        columns.append(("status", lambda row: str(row["status"])))
    cells = [[_cell(cell, row, name) for name, cell in columns] for row in rows]
    layout: dict[str, Any] = (
        {"tablefmt": "pipe", "headers": "firstrow"} if style == "markdown" else {"tablefmt": "plain"}
    )
    align = ["right"] * len(columns)
    table = tabulate([[name for name, _ in columns], *cells], colalign=align, disable_numparse=True, **layout)
    bullet = "- " if style == "markdown" else " "
    space = [""] if style == "markdown" else []
    said = [
        line for row in rows for text in _sentences(row, document["settings"]) for line in within_width(text, bullet)
    ]
    return "\n".join([*within_width(_head(document)), *space, table, *space, *said, "", *within_width(TIMED)])


def bound_sentence(row: Row, settings: Mapping[str, Any]) -> str:
    """What bounds the step, with the number behind it and what would change it; `settings`: precision and step."""
    shares, bound = row["shares"], row["bound"]
    share = percent(shares[bound])
    fuse = [] if settings["step"] == "compile" else ["--step compile"]
    lower = ["lower --precision"] if settings["precision"] in ("fp32", "tf32") else []
    match bound:
        case "input":
            return f"input-bound: {share} of the step waits for images; more --loader-threads, --loader resident"
        case "update":
            return f"update-bound: the update takes {share} of the step, at any batch size; a larger batch makes fewer"
        case "communication":
            return (
                f"communication-bound: averaging gradients over {settings['gpus']} ranks adds {share} to the step; a "
                "larger batch or fewer GPUs"
            )
        case "launch" if row["busy_seconds"] is not None:
            host = significant(1e3 * row["host_seconds"])
            return (
                f"launch-bound: the GPU is idle for {share} of the step, and the host takes {host} ms to ask for one; "
                f"{', '.join(['a larger batch costs little more', *fuse])}"
            )
        case "launch":
            each = significant(1e6 * row["operator_seconds"])
            return (
                f"launch-bound: {count(row['operators'])} operators x {each} us = {share} of the step, before they "
                "compute anything; a larger batch costs little more"
            )
        case "compute":
            return f"compute-bound: convolutions and matrix products take {share} of the step, {_speed(row, lower)}"
    return (
        f"memory-bound, by elimination: {share} of the step is neither convolutions and matrix products "
        f"({percent(shares['compute'])}), launches, update nor input{_largest(row)}; "
        f"{', '.join([*fuse, *lower]) or 'fewer or lighter operators between the products'}"
    )


def _speed(row: Row, lower: Sequence[str]) -> str:
    """How near they come to the speed of a large product, and what follows."""
    roof = f"the speed of a large one here ({significant(row['matmul_flops_per_second'] / 1e9)} GFLOP/s)"
    if row["arithmetic_seconds"] is None:
        return f"if they have {roof}; {' or '.join([*lower, 'another device'])}"
    reached = least_arithmetic_seconds(row) / row["arithmetic_seconds"]
    ways = ["another device"] if reached >= FILLED else ["wider layers", "a larger batch while that part grows"]
    return f"at {percent(reached)} of {roof}; {' or '.join([*lower, *ways])}"


def _largest(row: Row) -> str:
    other = row["largest_other"]
    if other is None:
        return ""
    name = "what the compiler made" if "CompiledFxGraph" in other["name"] else other["name"]
    return f"; {name} alone takes {significant(1e3 * other['seconds'])} ms of it"


def _sentences(row: Row, settings: Mapping[str, Any]) -> Iterator[str]:
    if row["status"] != "ok":
        yield f"{row['batch_size']}: {row['status']}: {row['reason']}"
        return
    yield f"{row['batch_size']}: {bound_sentence(row, settings)}"
    if abs(row["unexplained"]) > WITHIN:
        yield (
            f"{row['batch_size']}: the phases add up to {percent(1 - row['unexplained'])} of the step that was timed "
            "without them; they are not its parts"
        )


def _cell(cell: Callable[[Row], str], row: Row, name: str) -> str:
    return cell(row) if row["status"] == "ok" or name in ("batch", "status") else NOTHING


def _columns() -> Iterator[Column]:
    yield "batch", lambda row: count(row["batch_size"])
    yield "step", lambda row: _ms(row["step_seconds"])
    yield "input", lambda row: _ms(row["phases"]["input"])
    yield "H2D", lambda row: _ms(row["h2d_seconds"])
    for phase in ("forward", "backward", "update", "rest"):
        yield phase, lambda row, phase=phase: _ms(row["phases"][phase])  # type: ignore[misc]
    yield "communication", lambda row: _ms(row["communication_seconds"])
    yield "sum", lambda row: percent(1 - row["unexplained"])
    yield "idle", lambda row: _ms(row["idle_seconds"])
    yield "busy", lambda row: percent(row["gpu_busy"])
    yield "memory", lambda row: size(_memory(row["memory"]))
    yield "MHz", lambda row: count(row["sm_clock_mhz"])
    yield "W", lambda row: count(row["power_w"])
    yield "J/image", lambda row: significant(row["joules_per_image"])
    yield "throttled", lambda row: percent(row["throttled_share"])


def _memory(memory: Mapping[str, int | None]) -> int | None:
    return memory["reserved_bytes"] if memory["reserved_bytes"] is not None else memory["resident_bytes"]


def _head(document: Mapping[str, Any]) -> str:
    settings = document["settings"]
    (model,) = settings["plan"]["models"]
    device, threads = settings["device"], settings["threads"]
    about = settings["models"][model]
    where = f"{device} ({processor(document['machine'], device)})"
    cores = f"{threads} thread{'' if threads == 1 else 's'}"
    net = f"{model}, norm {about['norm']}, {about['image_size']} pixels"
    how = f"{settings['precision']}, {settings['loader']}, {settings['step']}"
    ranks = f" · 1 of {settings['gpus']} ranks that share each batch" if settings["gpus"] > 1 else ""
    return one_line(f"profile: {net} · {how} · {where} · {cores}{ranks}; ms per step")


def _ms(seconds: float | None) -> str:
    return NOTHING if seconds is None else significant(1e3 * seconds)


def _csv(rows: Sequence[Row]) -> str:
    """Every row with all its values; what has parts is JSON."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        values = [row.get(name) for name in names]
        writer.writerow([json.dumps(value) if isinstance(value, dict | list) else value for value in values])
    return text.getvalue().removesuffix("\n")
