"""How much memory a device has left."""

from __future__ import annotations

from pathlib import Path

import torch


def available_memory_bytes(device: torch.device) -> int:
    """Bytes that can still be taken: of the GPU, or of the machine within its container's limit (cgroup v2, Linux)."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    lines = Path("/proc/meminfo").read_text().splitlines()
    machine = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if not limit.exists() or limit.read_text().strip() == "max":
        return machine
    return min(machine, int(limit.read_text()) - int(used.read_text()))
