"""How many processes a machine can take."""

from __future__ import annotations

import os

from fastbs.errors import BadInput


def require_cores(option: str, processes: int) -> None:
    """BadInput where this machine has no core for each of so many at a time: they would only wait for each other."""
    if processes > (cores := os.cpu_count() or 1):
        raise BadInput(f"{option}: {processes} processes at a time need a core each, and this machine has {cores}")
