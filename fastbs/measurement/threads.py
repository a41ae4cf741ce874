"""How many threads can really run at once."""

from __future__ import annotations

import os
from pathlib import Path

from fastbs.measurement.cgroups import cpu_quota


def available_cores(root: Path = Path("/")) -> int:
    """Cores this process may run on, within its container's CPU time rounded down; at least 1."""
    allowed = len(os.sched_getaffinity(0))
    quota = cpu_quota(root)
    return max(1, allowed if quota is None else min(allowed, int(quota)))
