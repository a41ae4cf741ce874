"""NVIDIA Nsight Systems: its command for a captured stretch, and what its reports say, read by the names of columns."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastbs.profiling.ranges import DOMAIN

# As NVIDIA's own submissions to MLPerf call it: nothing is recorded before the program says so, no sampling of the
# host (which needs rights that containers lack), and the nodes of a captured graph one by one.
OPTIONS = (
    "--capture-range=cudaProfilerApi",
    "--capture-range-end=stop",
    "--cuda-graph-trace=node",
    "--sample=none",
    "--cpuctxsw=none",
    "--trace=cuda,nvtx",
    "--force-overwrite=true",
)
PHASE_REPORT, KERNEL_REPORT = "nvtx_gpu_proj_sum", "cuda_gpu_kern_sum"
UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
# What CUPTI and NVIDIA's tools say when the counters are taken, or not for us.
TAKEN = re.compile(
    r"hardware[_ ]busy|driver resource was unavailable|multiple[_ ]subscribers|already (?:in use|under)", re.I
)
FORBIDDEN = re.compile(r"insufficient[_ ]privileges|nvgpuctrperm|permission issue with performance counters", re.I)


def capture_command(request: Path, report: Path) -> list[str]:
    """The command that records the steps of `request` (see `fastbs.bench.captured_steps`) into `report`.nsys-rep."""
    program = [sys.executable, "-P", "-m", "fastbs.bench.captured_steps", str(request)]
    return ["nsys", "profile", *OPTIONS, f"--output={report}", *program]


def report_command(report: Path, name: str) -> list[str]:
    """The command that prints one of nsys's reports of `report`.nsys-rep as CSV."""
    return [
        "nsys",
        "stats",
        f"--report={name}",
        "--format=csv",
        "--force-export=true",
        "--output=-",
        f"{report}.nsys-rep",
    ]


def read_phases(text: str, steps: int) -> dict[str, float]:
    """Seconds per step that the GPU spent on what was asked for within each range, from nvtx_gpu_proj_sum."""
    rows = read_report(text, {"range": "Range", "seconds": "Total Proj Time"})
    return {row["range"].removeprefix(f"{DOMAIN}:").lstrip(":"): row["seconds"] / steps for row in rows}


def read_kernels(text: str, steps: int) -> list[dict[str, Any]]:
    """Kernels with seconds and calls per step, from cuda_gpu_kern_sum, the longest first."""
    rows = read_report(text, {"name": "Name", "seconds": "Total Time", "calls": "Instances"})
    found = [{"name": r["name"], "seconds": r["seconds"] / steps, "calls": float(r["calls"]) / steps} for r in rows]
    return sorted(found, key=lambda row: -row["seconds"])


def read_report(text: str, columns: dict[str, str]) -> list[dict[str, Any]]:
    """The rows of a CSV report, with those `columns` (our name: theirs, without unit); times in seconds.

    nsys prints other lines before the table, and orders and adds columns as it likes. ValueError names what is missing.
    """
    lines = text.splitlines()
    headers: list[list[str]] = [next(csv.reader([line]), []) for line in lines]
    for number, header in enumerate(headers):
        places = {ours: _place(header, theirs) for ours, theirs in columns.items()}
        if all(place is not None for place in places.values()):
            table = csv.reader(io.StringIO("\n".join(lines[number + 1 :])))
            return [_values(row, header, places) for row in table if len(row) == len(header)]
    widest = max(headers, key=len, default=[])
    raise ValueError(f"no table with the columns {', '.join(columns.values())}; the widest line has {widest}")


def conflict_advice(said: str) -> str | None:
    """What to do where a profiler says that it could not have the card's counters; None where it does not."""
    if FORBIDDEN.search(said):
        return "the driver lets only root read the counters here: an administrator can allow it (ERR_NVGPUCTRPERM)"
    if TAKEN.search(said):
        return (
            "another tool holds the card's counters, on a DGX usually DCGM: dcgmi profile --pause, and "
            "dcgmi profile --resume after"
        )
    return None


def _place(header: Sequence[str], name: str) -> int | None:
    """Where the column stands that is called so, with or without its unit in brackets."""
    cleaned = [re.sub(r"\s*\(.*\)$", "", column).strip() for column in header]
    return cleaned.index(name) if name in cleaned else None


def _values(row: Sequence[str], header: Sequence[str], places: dict[str, int | None]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for ours, place in places.items():
        assert place is not None
        value = row[place].strip()
        if ours == "seconds":
            unit = re.search(r"\((\w+)\)$", header[place].strip())
            found[ours] = float(value.replace(",", "")) * UNITS[unit[1] if unit else "ns"]
        else:
            found[ours] = value.replace(",", "") if ours == "calls" else value
    return found
