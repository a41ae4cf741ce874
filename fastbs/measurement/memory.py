"""The memory a run has taken, and the page faults it took it with."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Any

from fastbs.measurement.nvml import Nvml, NvmlUnavailable


def peak_memory_bytes(device: Any) -> int:
    """The most that was held at once: on a GPU by torch's allocator, on a CPU by the whole process (resident set).

    `device` is a torch.device or its name.
    """
    if _is_cuda(device):
        import torch

        return torch.cuda.max_memory_reserved(device)
    return _peak_resident_bytes()


def memory_held(device: Any) -> dict[str, int | None]:
    """Bytes that this process took, so far.

    allocated_bytes: peak of the tensors on the GPU; reserved_bytes: peak of what torch's allocator took for them;
    nvml_bytes: all that the process holds of the card now, with CUDA's context and the libraries; these three are None
    on a CPU. resident_bytes: peak of the whole process in the machine's own memory, on a GPU too.
    """
    on_card: dict[str, int | None] = dict.fromkeys(("allocated_bytes", "reserved_bytes", "nvml_bytes"))
    if _is_cuda(device):
        import torch

        on_card = {
            "allocated_bytes": torch.cuda.max_memory_allocated(device),
            "reserved_bytes": torch.cuda.max_memory_reserved(device),
            "nvml_bytes": _own_use(device),
        }
    return on_card | {"resident_bytes": _peak_resident_bytes()}


def minor_faults() -> int:
    """Pages that the kernel had to hand out to this process since its start: what a releasing malloc costs."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def _own_use(device: Any) -> int | None:
    """What the driver says that this process holds of the card; None where it does not know us.

    Containers may hide our process from the driver's list, or show it under the number that it has outside, where ours
    may be another's. Less than our own allocator holds is another's.
    """
    import torch

    try:
        nvml = Nvml()
        handle = nvml.handle(torch.cuda.get_device_properties(device))
        processes = nvml.ask("DeviceGetComputeRunningProcesses", handle)
    except NvmlUnavailable:
        return None
    used = next((process.usedGpuMemory for process in processes if process.pid == os.getpid()), None)
    return None if used is None or used < torch.cuda.memory_reserved(device) else used


def _peak_resident_bytes() -> int:
    kilobytes = _status("VmHWM")
    if kilobytes is not None:
        return kilobytes * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes there, kB elsewhere


def _is_cuda(device: Any) -> bool:
    return str(device).partition(":")[0] == "cuda"


def _status(key: str) -> int | None:
    """A number of kB from /proc/self/status; unlike ru_maxrss, it leaves out the process that we were forked from."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{key}:")), None)
