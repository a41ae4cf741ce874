"""The GPUs that this process can use."""

from __future__ import annotations

from typing import Any

from fastbs.measurement.nvml import Nvml, NvmlUnavailable

# our name -> NVML's question, what follows the handle, and how its answer becomes ours
_QUESTIONS: dict[str, tuple[str, tuple[str, ...], Any]] = {
    "power_limit_watts": ("DeviceGetEnforcedPowerLimit", (), lambda milliwatts: milliwatts / 1000),
    "sm_clock_now_mhz": ("DeviceGetClockInfo", ("NVML_CLOCK_SM",), int),
    "sm_clock_max_mhz": ("DeviceGetMaxClockInfo", ("NVML_CLOCK_SM",), int),
    "memory_clock_now_mhz": ("DeviceGetClockInfo", ("NVML_CLOCK_MEM",), int),
    "memory_clock_max_mhz": ("DeviceGetMaxClockInfo", ("NVML_CLOCK_MEM",), int),
    "ecc": ("DeviceGetEccMode", (), lambda modes: bool(modes[0])),  # (now, after the next boot)
    "mig": ("DeviceGetMigMode", (), lambda modes: bool(modes[0])),
    "persistence": ("DeviceGetPersistenceMode", (), bool),
}


def gpus(torch: Any | None) -> dict[str, Any]:
    """count, driver, driver_cuda (the newest CUDA the driver serves), nvml (None, or why it cannot be asked), devices.

    A device: index (CUDA's ordinal), name, uuid, memory_bytes, multiprocessors, compute_capability, then what NVML
    answers (`_QUESTIONS`), and unknown: the reason for each of those that is None. Devices are those that torch can
    use: without torch, or with a build for CPUs, none; `count` is then NVML's, and the difference is worth a warning.
    """
    nvml: Nvml | None = None
    reason: str | None = None
    try:
        nvml = Nvml()
    except NvmlUnavailable as error:
        reason = str(error)
    usable = torch.cuda.device_count() if torch is not None and torch.cuda.is_available() else 0
    devices = [_device(torch, nvml, reason, index) for index in range(usable)]
    newest = _ask(nvml, "SystemGetCudaDriverVersion_v2")  # 13000 for 13.0
    return {
        "count": usable or _ask(nvml, "DeviceGetCount") or 0,
        "driver": _ask(nvml, "SystemGetDriverVersion"),
        "driver_cuda": None if newest is None else f"{newest // 1000}.{newest % 1000 // 10}",
        "nvml": reason,
        "devices": devices,
    }


def _ask(nvml: Nvml | None, question: str) -> Any:
    try:
        return None if nvml is None else nvml.ask(question)
    except NvmlUnavailable:
        return None


def _device(torch: Any, nvml: Nvml | None, no_nvml: str | None, index: int) -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(index)
    known: dict[str, Any] = {
        "index": index,
        "name": properties.name,
        "uuid": str(properties.uuid),
        "memory_bytes": properties.total_memory,
        "multiprocessors": properties.multi_processor_count,
        "compute_capability": f"{properties.major}.{properties.minor}",
    }
    answers: dict[str, Any] = dict.fromkeys(_QUESTIONS)
    if nvml is None:
        return known | answers | {"unknown": dict.fromkeys(_QUESTIONS, no_nvml)}
    try:
        handle = nvml.handle(properties)
    except NvmlUnavailable as error:
        return known | answers | {"unknown": dict.fromkeys(_QUESTIONS, str(error))}
    unknown = {}
    for name, (question, arguments, ours) in _QUESTIONS.items():
        try:
            answers[name] = ours(nvml.ask(question, handle, *arguments))
        except NvmlUnavailable as error:
            unknown[name] = str(error)
    return known | answers | {"unknown": unknown}
