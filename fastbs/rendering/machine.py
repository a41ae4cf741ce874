"""The machine block as lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tabulate import tabulate


def render_machine(machine: Mapping[str, Any], missing: Sequence[Mapping[str, str]]) -> str:
    """What is known, flat, one fact a line; then what is missing, what it would bring and how to get it."""
    facts = tabulate(list(_flat(machine)), tablefmt="plain", disable_numparse=True)
    if not missing:
        return facts
    absent = [[entry["name"], entry["brings"], entry["install"]] for entry in missing]
    return f"{facts}\n\n{tabulate(absent, ['missing', 'would bring', 'install'], tablefmt='plain')}"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            for number, item in enumerate(value):
                yield from _flat(item, f"{prefix}{key}.{number}.")
        else:
            yield f"{prefix}{key}", "-" if value is None else ", ".join(map(str, _as_list(value)))


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
