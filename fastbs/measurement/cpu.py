"""The processor and the memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fastbs.measurement.allocator import allocator
from fastbs.measurement.cgroups import cpu_quota, memory_limit
from fastbs.measurement.threads import available_cores


def cpu(root: Path = Path("/")) -> dict[str, Any]:
    """model, physical_cores, logical_cores, affinity (core numbers), cgroup_cores, available_cores, memory_bytes,
    cgroup_memory_bytes, allocator. `root` holds proc/ and sys/.
    """
    return {
        "model": _after(root / "proc/cpuinfo", "model name"),
        "physical_cores": _physical_cores(root),
        "logical_cores": os.cpu_count(),
        "affinity": sorted(os.sched_getaffinity(0)),
        "cgroup_cores": cpu_quota(root),
        "available_cores": available_cores(root),
        "memory_bytes": _memory_bytes(root),
        "cgroup_memory_bytes": memory_limit(root),
        "allocator": allocator(root),
    }


def _physical_cores(root: Path) -> int | None:
    """Distinct (package, core) pairs; None where the kernel does not tell, as for some virtual and ARM machines."""
    topologies = list((root / "sys/devices/system/cpu").glob("cpu[0-9]*/topology"))
    try:
        pairs = {
            ((topology / "physical_package_id").read_text(), (topology / "core_id").read_text())
            for topology in topologies
        }
    except OSError:
        return None
    return len(pairs) or None


def _memory_bytes(root: Path) -> int | None:
    total = _after(root / "proc/meminfo", "MemTotal")  # "24684096 kB"
    return int(total.split()[0]) * 1024 if total else None


def _after(path: Path, key: str) -> str | None:
    """The value of the first "key: value" line."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None
