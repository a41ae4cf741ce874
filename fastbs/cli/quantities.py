"""Values with a unit on the command line: durations, sizes in memory, energies. They become seconds, bytes, joules."""

from __future__ import annotations

import re
from typing import Any

import click

NUMBER = re.compile(r"(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)\s*([A-Za-z]*)")
SECONDS = {"": 1.0, "ms": 1e-3, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES = {"": 1.0, "B": 1.0}
BYTES |= {f"{prefix}{unit}": 1024.0**k for k, prefix in enumerate("KMGT", 1) for unit in ("", "iB")}
BYTES |= {f"{prefix}B": 1000.0**k for k, prefix in enumerate("kMGT", 1)}
JOULES = {"": 1.0, "J": 1.0, "kJ": 1e3, "MJ": 1e6, "GJ": 1e9, "Wh": 3.6e3, "kWh": 3.6e6}


class Quantity(click.ParamType[float]):
    """A number above 0 with one of some units; without a unit it is in the first."""

    units: dict[str, float]
    example: str

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = NUMBER.fullmatch(value.strip())
        if match is None or match[2] not in self.units or not 0 < float(match[1]) < 1e18:
            known = ", ".join(unit for unit in self.units if unit)
            self.fail(f"{value!r} is no {self.name} above 0; write {self.example} (units: {known})", param, ctx)
        return float(match[1]) * self.units[match[2]]


class Duration(Quantity):
    """`10m`, `8h`, `90s`; a plain number is in seconds."""

    name, units, example = "duration", SECONDS, "10m or 8h"


class MemorySize(Quantity):
    """`80G` and `80GiB` are binary, `80GB` decimal; a plain number is in bytes."""

    name, units, example = "memory size", BYTES, "80G or 512M"


class Energy(Quantity):
    """`5kJ`, `2Wh`; a plain number is in joules."""

    name, units, example = "energy", JOULES, "5kJ or 2Wh"
