"""What machine this is: the block that every record carries."""

from __future__ import annotations

from typing import Any

from fastbs.measurement.cpu import cpu
from fastbs.measurement.gpu import gpus
from fastbs.measurement.libraries import library_conflicts, missing
from fastbs.measurement.software import software

__all__ = ["machine", "missing"]


def machine() -> dict[str, Any]:
    """The machine as plain values in a fixed order; what cannot be known is None.

    gpu       see `gpu.gpus`            cpu       see `cpu.cpu`
    software  see `software.software`   warnings  what is likely to spoil a measurement, in words
    """
    torch, broken = _torch()
    gpu = gpus(torch)
    warnings = [*broken, *library_conflicts()]
    if gpu["count"] and not gpu["devices"] and torch is not None:
        warnings.append(f"{gpu['count']} GPU(s) are here, and torch {torch.__version__} can use none of them")
    return {"gpu": gpu, "cpu": cpu(), "software": software(torch), "warnings": warnings}


def _torch() -> tuple[Any | None, list[str]]:
    """torch, or None and why an installed one cannot be used."""
    try:
        import torch
    except ModuleNotFoundError as error:
        return None, [] if error.name == "torch" else [f"torch cannot be imported: {error}"]
    except (ImportError, OSError) as error:  # a library that it was built with is missing or another
        return None, [f"torch cannot be imported: {error}"]
    return torch, []
