"""The name of what computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastbs.rendering.numbers import NOTHING


def processor(machine: Mapping[str, Any], device: str | None) -> str:
    """Name of the first GPU if `device` is "cuda", else of the CPU; "-" where the machine block does not tell."""
    found: Any = machine
    try:
        for key in ("gpu", "devices", 0, "name") if device == "cuda" else ("cpu", "model"):
            found = found[key]
    except (KeyError, IndexError, TypeError):
        return NOTHING
    return NOTHING if found is None else str(found)
