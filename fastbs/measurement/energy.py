"""The energy that a stretch of work took, by the counters of GPU or processor."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastbs.measurement.nvml import Nvml, NvmlUnavailable

POWERCAP = Path("/sys/class/powercap")
MOST_WATTS = 1000  # no processor package draws more: within range / this, a counter starts over once at most


@dataclass(frozen=True)
class Counters:
    """Counters that only rise, but for those with a range, which start over at it."""

    source: str
    read: Callable[[], list[int]]
    per_joule: int
    ranges: list[int] | None = None


class EnergyMeter:
    """Joules between start() and stop(), of everything that runs there and not of this process alone.

    source: "nvml" (the whole board of the GPU), "rapl" (all processor packages, without memory), or None where nothing
    measures it or a counter failed on the way: then stop() gives None. A CPU stretch is too long for its counter after
    range / 1000 W, about four minutes at the least; that counts as a failure, not as a guess.
    """

    def __init__(self, device: Any, powercap: Path = POWERCAP) -> None:
        self._counters: Counters | None = None
        self._start: tuple[float, list[int]] | None = None
        try:
            is_gpu = str(device).partition(":")[0] == "cuda"
            self._counters = _board(device) if is_gpu else _packages(powercap)
        except (NvmlUnavailable, OSError):  # no such counter, or not for us to read
            pass

    @property
    def source(self) -> str | None:
        return self._counters.source if self._counters else None

    def start(self) -> None:
        """Measure from here."""
        if self._counters is None:
            return
        try:
            self._start = time.monotonic(), self._counters.read()
        except (NvmlUnavailable, OSError):
            self._counters = None

    def stop(self) -> float | None:
        """Joules since start(); None where `source` is None or nothing was started."""
        if self._counters is None or self._start is None:
            return None
        (began, before), self._start = self._start, None
        try:
            joules = _difference(self._counters, before, self._counters.read(), time.monotonic() - began)
        except (NvmlUnavailable, OSError):
            joules = None
        if joules is None:
            self._counters = None
        return joules


def _difference(counters: Counters, before: list[int], after: list[int], seconds: float) -> float | None:
    """Joules from one reading to the next; None if a counter may have started over more than once."""
    differences = [end - start for start, end in zip(before, after, strict=True)]
    if counters.ranges is not None:
        if seconds * MOST_WATTS * counters.per_joule > min(counters.ranges):
            return None
        differences = [d if d >= 0 else d + top for d, top in zip(differences, counters.ranges, strict=True)]
    return sum(differences) / counters.per_joule


def _board(device: Any) -> Counters:
    import torch

    nvml = Nvml()
    handle = nvml.handle(torch.cuda.get_device_properties(device))
    counters = Counters("nvml", lambda: [nvml.ask("DeviceGetTotalEnergyConsumption", handle)], per_joule=1000)
    counters.read()  # a card without the counter says so now
    return counters


def _packages(powercap: Path) -> Counters | None:
    """The packages' zones alone: core and dram lie within them or beside them, psys is the platform around them."""
    zones = [z for z in sorted(powercap.glob("intel-rapl:*")) if (z / "name").read_text().startswith("package")]
    if not zones:
        return None

    def read() -> list[int]:
        return [int((zone / "energy_uj").read_text()) for zone in zones]

    read()  # usually for root alone
    ranges = [int((zone / "max_energy_range_uj").read_text()) for zone in zones]
    return Counters("rapl", read, per_joule=1_000_000, ranges=ranges)
