from __future__ import annotations

import mmap
import resource
import sys
from types import SimpleNamespace

from fastbs.measurement.memory import minor_faults, peak_memory_bytes

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
