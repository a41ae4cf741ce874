"""What of a machine decides its numbers, as flat facts with the names that --allow takes."""

from __future__ import annotations

from collections.abc import Sequence

from fastbs.results.checked import Checked

Fact = str | int | float | bool | None

BLOCK = ("gpu", "gpu_count", "gpu_memory", "mig")  # another one: not comparable
# Another one may explain a small change. "system" is known of files that other tools wrote.
FLAG = (
    *("driver", "cuda", "cudnn", "nccl", "torch", "dali", "tensorrt", "triton", "python", "power_limit", "ecc"),
    *("container", "allocator", "cpu", "cores", "system"),
)


def machine_facts(machine: Checked, device: str | None) -> dict[str, Fact]:
    """Facts by name from the machine block of a record; None is what was not known there.

    What was measured on a CPU does not depend on the cards beside it: their facts are left out. The memory of a card is
    rounded to GiB, since drivers keep a few MiB more or less of it for themselves.
    """
    software = machine.get("software")
    libraries = software.get("libraries")
    facts = {name: libraries.get(name).scalar() for name in ("torch", "dali", "tensorrt", "triton")}
    facts |= {
        "python": software.get("python").scalar(),
        "container": _joined(software.get("container")),
        "allocator": _allocator(machine.get("cpu").get("allocator")),
        "cpu": machine.get("cpu").get("model").scalar(),
        "cores": machine.get("cpu").get("available_cores").scalar(),
    }
    return facts if device == "cpu" else _of_the_cards(machine.get("gpu")) | _of_cuda(machine) | facts


def _of_the_cards(gpu: Checked) -> dict[str, Fact]:
    devices = list(gpu.get("devices").each())
    return {
        "gpu": _common([device.get("name").scalar() for device in devices]),
        "gpu_count": len(devices) if gpu.get("devices").value is not None else None,
        "gpu_memory": _common([device.get("memory_bytes").known(_gib) for device in devices]),
        "mig": _common([device.get("mig").known(_switch) for device in devices]),
        "power_limit": _common([device.get("power_limit_watts").known(_watts) for device in devices]),
        "ecc": _common([device.get("ecc").known(_switch) for device in devices]),
    }


def _of_cuda(machine: Checked) -> dict[str, Fact]:
    software = machine.get("software")
    return {
        "driver": machine.get("gpu").get("driver").scalar(),
        **{name: software.get(name).scalar() for name in ("cuda", "cudnn", "nccl")},
    }


def _common(values: Sequence[Fact]) -> Fact:
    """What the devices share, or all that they have, in their order; None where one is unknown."""
    if not values or None in values:
        return None
    distinct = list(dict.fromkeys(values))
    return distinct[0] if len(distinct) == 1 else ", ".join(map(str, distinct))


def _gib(memory: Checked) -> str:
    return f"{memory.positive() / 2**30:.0f} GiB"


def _watts(limit: Checked) -> str:
    return f"{limit.positive():g} W"


def _switch(switch: Checked) -> str:
    return "on" if switch.flag() else "off"


def _joined(entries: Checked) -> str | None:
    """NAME=value for each that is known; None when none is."""
    known = [f"{name}={entry.scalar()}" for name, entry in entries.items() if entry.value is not None]
    return " ".join(sorted(known)) or None


def _allocator(allocator: Checked) -> str | None:
    """Its name, the version of a glibc, and its settings."""
    name = allocator.get("name").known(Checked.text)
    if name is None:
        return None
    parts = [name, allocator.get(name).known(Checked.text), _joined(allocator.get("settings"))]
    return " ".join(part for part in parts if part is not None)
