"""Which malloc serves this process, and with which settings: it decides the speed of large batches on a CPU."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any


def allocator(root: Path = Path("/")) -> dict[str, Any]:
    """name (glibc, jemalloc, tcmalloc, mimalloc), glibc (version), settings (those of the environment).

    The environment is the one that the process was started with: malloc reads it once, before Python runs.
    """
    try:
        loaded = (root / "proc/self/maps").read_text()
        started_with = (root / "proc/self/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return {"name": None, "glibc": _glibc(), "settings": None}
    replaced = re.search(r"/lib(jemalloc|tcmalloc|mimalloc)[^/]*\.so", loaded)
    glibc = _glibc()
    settings = dict(line.split("=", 1) for line in started_with if re.match(r"(\w*MALLOC\w*|GLIBC_TUNABLES)=", line))
    return {
        "name": replaced.group(1) if replaced else "glibc" if glibc else None,
        "glibc": glibc,
        "settings": dict(sorted(settings.items())),
    }


def _glibc() -> str | None:
    try:
        said = os.confstr("CS_GNU_LIBC_VERSION")  # "glibc 2.36"
    except (ValueError, OSError):  # another libc
        return None
    return said.removeprefix("glibc ") if said else None
