"""Files as they are typed: names, or quoted globs."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from fastbs.errors import BadInput


def paths_of(given: str) -> list[Path]:
    """A glob where nothing has that very name."""
    if os.path.exists(given) or not glob.has_magic(given):
        return [Path(given)]
    found = sorted(glob.glob(given, recursive=True))
    if not found:
        raise BadInput(f"{given}: no file matches")
    return [Path(name) for name in found]
