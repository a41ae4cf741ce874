"""What the card did to its own speed while something ran on it: clock, power, and the time it was held back."""

from __future__ import annotations

import time
from typing import Any

from fastbs.measurement.energy import EnergyMeter
from fastbs.measurement.nvml import Nvml, NvmlUnavailable

SHORTEST = 1.0  # s; the energy counter moves about every 100 ms, so a shorter window says little about the power

# What may hold the clock below what was asked for -> the same counter among NVML's field values (nvml.h), in
# nanoseconds both. Low utilisation is no throttling. The fields of the slowdown reasons are left out: their numbers
# differ between the headers of CUDA 12 and 13 (251 and 269), and a driver answers the wrong one without complaint.
POLICIES = {
    "NVML_PERF_POLICY_POWER": 74,
    "NVML_PERF_POLICY_THERMAL": 75,
    "NVML_PERF_POLICY_SYNC_BOOST": 76,
    "NVML_PERF_POLICY_BOARD_LIMIT": 77,
    "NVML_PERF_POLICY_RELIABILITY": 79,
}


class CardState:
    """A GPU between start() and stop(), by NVML; everything is None on a CPU and where the card does not answer.

    Counters are read at the ends only, so that nothing polls the card while it works. No setting is ever changed.
    """

    def __init__(self, device: Any) -> None:
        self._nvml: Nvml | None = None
        self._handle: Any = None
        self._start: tuple[float, dict[str, int]] | None = None
        if str(device).partition(":")[0] != "cuda":
            return
        import torch

        self._energy = EnergyMeter(device)
        try:
            nvml = Nvml()
            self._handle = nvml.handle(torch.cuda.get_device_properties(device))
            self._nvml = nvml
        except NvmlUnavailable:
            pass  # no library, no driver, or a card that it does not know

    def start(self) -> None:
        """Measure from here."""
        if self._nvml is None:
            return
        self._energy.start()
        self._start = time.monotonic(), self._held_back(self._nvml)

    def sample(self) -> float | None:
        """The clock of the multiprocessors now, MHz; it falls within a moment once the card has nothing to do."""
        if self._nvml is None:
            return None
        try:
            return float(self._nvml.ask("DeviceGetClockInfo", self._handle, "NVML_CLOCK_SM"))
        except NvmlUnavailable:
            return None

    def stop(self) -> dict[str, float | None]:
        """power_w, the board's mean power (None under one second), and throttled_share of the time since start().

        The share is that of the policy that held the clock back longest: a lower bound of the time that any did, as two
        may hold it at once. A power cap is usual at large batches; it explains a time, and is no fault.
        """
        if self._nvml is None or self._start is None:
            return {"power_w": None, "throttled_share": None}
        (began, before), self._start = self._start, None
        after, seconds = self._held_back(self._nvml), time.monotonic() - began
        joules = self._energy.stop()
        shares = [(after[policy] - before[policy]) / 1e9 / seconds for policy in before.keys() & after.keys()]
        return {
            "power_w": joules / seconds if joules is not None and seconds >= SHORTEST else None,
            "throttled_share": min(1.0, max(shares)) if shares else None,
        }

    def _held_back(self, nvml: Nvml) -> dict[str, int]:
        """Nanoseconds since the driver was loaded, for each policy that the card counts."""
        counters = {policy: self._nanoseconds(nvml, policy, field) for policy, field in POLICIES.items()}
        return {policy: counter for policy, counter in counters.items() if counter is not None}

    def _nanoseconds(self, nvml: Nvml, policy: str, field: int) -> int | None:
        try:
            return int(nvml.ask("DeviceGetViolationStatus", self._handle, policy).violationTime)
        except NvmlUnavailable:
            pass  # the counter may still be among the fields
        try:
            (answer,) = nvml.ask("DeviceGetFieldValues", self._handle, [field])
        except NvmlUnavailable:
            return None
        return int(answer.value.ullVal) if answer.nvmlReturn == 0 else None  # NVML_SUCCESS, for this field
