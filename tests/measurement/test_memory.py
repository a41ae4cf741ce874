from __future__ import annotations

import mmap
import os
import resource
import sys
from types import SimpleNamespace

import pytest

from fastbs.measurement.memory import memory_held, minor_faults, peak_memory_bytes

MIB = 1 << 20


def touch(size: int) -> None:
    """Take `size` bytes from the kernel, and give them back."""
    with mmap.mmap(-1, size) as pages:
        for start in range(0, size, 4096):
            pages[start] = 1


def test_the_peak_stays_after_the_memory_is_given_back():
    before = peak_memory_bytes("cpu")
    size = before + 64 * MIB - current() if before > current() else 64 * MIB
    touch(size)
    assert peak_memory_bytes("cpu") >= before + 60 * MIB
    assert peak_memory_bytes("cpu") <= before + 128 * MIB


def current() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def test_every_new_page_is_a_minor_fault():
    before = minor_faults()
    touch(16 * MIB)
    assert minor_faults() - before >= 4  # pages may be as large as 4 MiB


def test_a_gpu_is_asked_for_what_its_allocator_reserved(monkeypatch):
    asked = []
    cuda = SimpleNamespace(
        max_memory_reserved=lambda device: asked.append(device) or 7,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert peak_memory_bytes("cuda:1") == 7
    assert asked == ["cuda:1"]


def test_a_cpu_holds_what_its_process_does():
    held = memory_held("cpu")
    assert held.pop("resident_bytes") >= current()
    assert held == {"allocated_bytes": None, "reserved_bytes": None, "nvml_bytes": None}


@pytest.fixture
def processes(monkeypatch):
    """What NVML says of the processes on a card, of which torch's allocator in ours holds 50 MiB, after 80 at most."""

    class NVMLError(Exception):
        pass

    listed = []
    nvml = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: {"GPU-7": "handle"}[uuid],
        nvmlDeviceGetComputeRunningProcesses=lambda handle: listed,
    )
    cuda = SimpleNamespace(
        get_device_properties=lambda device: SimpleNamespace(uuid=7),
        max_memory_allocated=lambda device: 60 * MIB,
        max_memory_reserved=lambda device: 80 * MIB,
        memory_reserved=lambda device: 50 * MIB,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    return listed


def process(pid, used):
    return SimpleNamespace(pid=pid, usedGpuMemory=used)


def test_a_gpu_holds_more_for_us_than_our_allocator_knows(processes):
    processes += [process(os.getpid() + 1, 900 * MIB), process(os.getpid(), 500 * MIB)]
    held = memory_held("cuda:0")
    assert held.pop("resident_bytes") >= current()
    assert held == {"allocated_bytes": 60 * MIB, "reserved_bytes": 80 * MIB, "nvml_bytes": 500 * MIB}


@pytest.mark.parametrize("used", [None, 49 * MIB])
def test_what_another_process_under_our_number_holds_is_not_ours(processes, used):
    processes.append(process(os.getpid(), used))
    assert memory_held("cuda")["nvml_bytes"] is None


def test_a_container_that_hides_us_from_the_driver_hides_our_use(processes, monkeypatch):
    processes.append(process(os.getpid() + 1, 900 * MIB))
    assert memory_held("cuda")["nvml_bytes"] is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert memory_held("cuda")["nvml_bytes"] is None
    assert memory_held("cuda")["reserved_bytes"] == 80 * MIB
