"""The environment of a fresh process: allocator, threads, and the very code that called."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

# glibc returns large buffers to the kernel at every step and pays for them again with page faults, which slows large
# batches by 2x and more on a CPU. With these, memory that was taken once stays with the process.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(8 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
}
PACKAGE_PARENT = str(Path(__file__).resolve().parents[2])


def environment(threads: int | None, extra: Mapping[str, str | None] | None) -> dict[str, str]:
    """The caller's environment with our allocator setting, a fixed thread count and our own code first on the path.

    `extra` comes last; a variable that is None there is taken away.
    """
    path = os.pathsep.join(filter(None, [PACKAGE_PARENT, os.environ.get("PYTHONPATH")]))
    env: dict[str, str | None] = {**os.environ, **ALLOCATOR, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    if threads is not None:
        env |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    return {name: value for name, value in (env | dict(extra or {})).items() if value is not None}
