"""The memory a run has taken, and the page faults it took it with."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any


def peak_memory_bytes(device: Any) -> int:
    """The most that was held at once: on a GPU by torch's allocator, on a CPU by the whole process (resident set).

    `device` is a torch.device or its name.
    """
    if _is_cuda(device):
        import torch

        return torch.cuda.max_memory_reserved(device)
    kilobytes = _status("VmHWM")
    if kilobytes is not None:
        return kilobytes * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes there, kB elsewhere


def minor_faults() -> int:
    """Pages that the kernel had to hand out to this process since its start: what a releasing malloc costs."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def _is_cuda(device: Any) -> bool:
    return str(device).partition(":")[0] == "cuda"


def _status(key: str) -> int | None:
    """A number of kB from /proc/self/status; unlike ru_maxrss, it leaves out the process that we were forked from."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{key}:")), None)
