"""Libraries that not every machine has, imported when they are needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from fastbs.errors import BadInput

CONTAINER = "or use NVIDIA's container nvcr.io/nvidia/pytorch, which has it"


class MissingLibrary(BadInput):
    """Not installed, or not in working order."""


def need(name: str, extra: str) -> ModuleType:
    """The module `name`; MissingLibrary says which of our extras installs it, or why it cannot be loaded here."""
    way_out = f"pip install 'fastbs[{extra}]'" + (f" {CONTAINER}" if "tensorrt" in name else "")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != name.partition(".")[0]:
            raise MissingLibrary(f"{name}: needs {error.name}, which is not installed; {way_out}") from error
        raise MissingLibrary(f"{name}: not installed; {way_out}") from error
    except Exception as error:  # TensorRT's packages raise plain exceptions where their libraries are missing
        raise MissingLibrary(f"{name}: cannot be loaded here ({' '.join(str(error).split())}); {way_out}") from error
