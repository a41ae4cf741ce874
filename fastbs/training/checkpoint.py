"""The state of a run, saved whole or not at all, and given back exactly."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from fastbs.errors import BadInput
from fastbs.results.files import SCHEMA, write_atomic


def save(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values; the file before stays until this one is complete."""
    buffer = io.BytesIO()
    torch.save({"schema": SCHEMA} | state, buffer)
    write_atomic(path, buffer.getvalue())


def load(path: Path, device: torch.device) -> dict[str, Any]:
    """Read what `save` wrote; nothing in the file is executed (`weights_only`)."""
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        if isinstance(error, FileNotFoundError):
            raise BadInput(f"{path}: no such file; train the run again") from error
        raise BadInput(
            f"{path}: not a readable checkpoint ({type(error).__name__}); remove it and train again"
        ) from error
    if not isinstance(state, dict) or state.get("schema") != SCHEMA:
        raise BadInput(f"{path}: a checkpoint of another schema than {SCHEMA}; remove it and train again")
    return state
