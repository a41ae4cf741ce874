"""What an advice says above and below its table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fastbs.rendering.advice_columns import duration
from fastbs.rendering.lines import one_line
from fastbs.rendering.numbers import count, percent, significant, size

Document = Mapping[str, Any]


def headline(document: Document) -> str:
    recommended = document["recommended"]
    if document["refused"]:
        return "NO BATCH SIZE RECOMMENDED: too little to go by"
    if recommended is None:
        return "NO BATCH SIZE keeps all limits"
    low, high = document["range"]
    if document["optimum"] is None:
        within = "measured sizes" if low != high else "measured size"
        return f"USE BATCH SIZE {recommended}   ({_range(low, high)}: {within} within 5 % of the fastest measured)"
    of = " that keeps the limits" if document["binding"] else ""
    if document["optimum"]["sure"] is None:
        return (
            f"USE BATCH SIZE {recommended}   (the fastest{of} if the noise scale is B_crit, which no run has verified)"
        )
    sure = f"within 5 % of the fastest{of}: {_certainty(document['optimum']['sure'])} certain"
    level = document.get("range_level")
    others = f"; each of {_range(low, high)}: {_certainty(level)} or more" if low != high and level else ""
    return f"USE BATCH SIZE {recommended}   ({sure}{others})"


def _certainty(share: float) -> str:
    """Whole per cent, never 100."""
    return f"{min(99, math.floor(100 * share + 0.5))} %"


def time_sentence(document: Document) -> str:
    """How long it takes, where anybody knows."""
    goal, seconds = f"{document['target']:g}", document["seconds"]
    if seconds is None:
        return f"time to {goal}: not known, no run reached it; only relative times are"
    images = document["images"]["asked"]
    of = f" with {count(images)} images" if images else ""
    where = " on the other machine" if document["steps_from"] == "another machine" else ""
    interval = document["seconds_interval"]
    ends = f" [{duration(interval[0])}, {duration(interval[1])}]" if interval else ""
    return f"time to {goal}: {duration(seconds)}{ends} of training{of}{where}{_energy(document)}"


def _energy(document: Document) -> str:
    least = document["energy"]
    if least is None:
        return ""
    if least["batch_size"] == document["recommended"]:
        return f" · least energy too: {_joules(least['joules'])}"
    saved = "" if least["vs_recommended"] is None else f", {percent(least['vs_recommended'])} less"
    return f" · least energy at batch {least['batch_size']}: {_joules(least['joules'])}{saved}"


def limit_sentences(document: Document) -> list[str]:
    """Each limit with its value here, and the one that binds."""
    if not document["limits"]:
        return ["binding limit: none was given"]
    said = [
        f"{_named(name)} {_value(name, limit['limit'])}: {_value(name, limit['value'])}, holds"
        for name, limit in document["limits"].items()
    ]
    binding = _named(document["binding"]) if document["binding"] else "none"
    return [f"binding limit: {binding} ({'; '.join(said)})"]


def give_sentences(document: Document) -> list[str]:
    if not document["give"]:
        return ["no batch size has a known value for all of them"]
    return [
        f"{_named(one['limit'])} would have to be {_value(one['limit'], one['needed'])} instead of "
        f"{_value(one['limit'], one['asked'])}, with batch {one['batch_size']}"
        for one in document["give"]
    ]


def refusal_sentences(document: Document) -> list[str]:
    return [document["refused"]["reason"]]


def unknown_sentences(document: Document) -> list[str]:
    """Commands that would settle something stand below, in `commands`."""
    said = []
    for one in document["unknown"]:
        command = is_command(one["settle"])
        settle = f"; to settle it: {one['settle']}" if one["settle"] and not command else ""
        said.append(f"not known: {one_line(one['what'])}{settle}")
    return said


def commands(document: Document) -> list[tuple[str, str]]:
    """What they are for, and the commands; each once."""
    latency = [("for the latency", command) for command in document["latency"]["next"]] if "latency" in document else []
    if document["refused"]:
        return [("next", document["refused"]["next"]), *latency]
    found = {} if document["verify"] is None else {document["verify"]: "verify (--out keeps the advice)"}
    for one in document["unknown"]:
        if is_command(one["settle"]):
            found.setdefault(one["settle"], one["what"].partition(":")[0])
    return [*((what, command) for command, what in found.items()), *latency]


def is_command(text: str | None) -> bool:
    return text is not None and text.startswith("fastbs ")


def _range(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low}-{high}"


def _named(limit: str) -> str:
    return limit.replace("_", " ")


def _value(limit: str, value: float | None) -> str:
    match limit:
        case "deadline":
            return duration(value)
        case "max_memory":
            return size(value)
    return _joules(value)


def _joules(value: float | None) -> str:
    """4321 -> "4.32 kJ"."""
    if value is not None and value >= 1000:
        return f"{significant(value / 1000)} kJ"
    return f"{significant(value)} J"
