"""A few steps under torch's profiler: a trace for Perfetto, the time of each phase by operator or kernel."""

from __future__ import annotations

import bisect
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from fastbs.data.batch import Batch
from fastbs.profiling.phases import PHASES
from fastbs.profiling.ranges import DOMAIN, STEP, step_in_ranges, torch_range
from fastbs.training.step import Step

WARM_STEPS, STEPS = 3, 10
LONGEST = 5  # operators or kernels that are named per phase
# Operators that multiply, and those that wait for other ranks.
ARITHMETIC = re.compile(r"convolution|(?<![a-z])linear|attention|\b(?:mm|addmm|bmm|baddbmm)\b")
COMMUNICATION = re.compile("c10d|gloo|nccl")
Interval = tuple[float, float]
Piece = tuple[str, float, float]  # name, when it was asked for, us of its own
Span = tuple[float, float, str]  # start, end, phase


def trace_steps(step: Step, batches: Iterator[Batch], device: torch.device, file: Path | None) -> dict[str, Any]:
    """What `STEPS` profiled steps are made of, per step; the trace goes to `file` (*.json.gz) if there is one.

    "by_phase": {phase: [{"name", "seconds", "calls"}]}, the longest first, "other" last; on a GPU these are kernels,
    copies and fills, counted to the phase that asked for them; on a CPU operators, each without those that it calls.
    "arithmetic_seconds": the part of forward and backward that convolutions and matrix products take, None where no
    operator is seen (a captured graph is one launch); "largest_other": the operator {"name", "seconds"} that takes most
    of the remaining part, communication apart. "busy_seconds" and "h2d_seconds", of a GPU (None on a CPU): the time in
    which anything ran on it, and the time of copies from the host. The profiler slows the host down: none of this is
    the time of a step in training, and what consists of many short operators appears longer than it is.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or the profiler tells stderr when it starts and stops
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    for _ in range(WARM_STEPS):
        step_in_ranges(step, batches, torch_range)
    _wait(device)
    with profile(activities=activities) as profiler:
        for _ in range(STEPS):
            step_in_ranges(step, batches, torch_range)
        _wait(device)
    if file is not None:
        profiler.export_chrome_trace(str(file))
    events = list(profiler.events() or [])
    phases = [(e.time_range.start, e.time_range.end, e.name.removeprefix(f"{DOMAIN}.")) for e in _ranges(events)]
    ran = [event for event in events if event.device_type.name == "CUDA" and not event.is_user_annotation]
    return {
        "steps": STEPS,
        "by_phase": time_by_phase(_kernels(events) if on_gpu else _operators(events), phases, STEPS),
        **arithmetic_and_other(_launchers(events) if on_gpu else _operators(events), phases, STEPS),
        "busy_seconds": covered([(e.time_range.start, e.time_range.end) for e in ran]) / 1e6 / STEPS
        if on_gpu
        else None,
        "h2d_seconds": sum(e.time_range.elapsed_us() for e in ran if "HtoD" in e.name) / 1e6 / STEPS
        if on_gpu
        else None,
    }


def time_by_phase(pieces: Iterable[Piece], phases: Sequence[Span], steps: int) -> dict[str, list[dict[str, Any]]]:
    """The pieces added up by name within the phase in which they were asked for."""
    phase_at = _phase_at(phases)
    sums: dict[str, dict[str, list[float]]] = {phase: defaultdict(lambda: [0.0, 0]) for phase in PHASES}
    for name, asked, micros in pieces:
        if phase := phase_at(asked):
            entry = sums[phase][name]
            entry[0] += micros
            entry[1] += 1
    return {phase: _longest(named, steps) for phase, named in sums.items()}


def arithmetic_and_other(pieces: Iterable[Piece], phases: Sequence[Span], steps: int) -> dict[str, Any]:
    """Of forward and backward, per step: "arithmetic_seconds" and "largest_other", see `trace_steps`."""
    phase_at = _phase_at(phases)
    own: dict[str, float] = defaultdict(float)
    for name, asked, micros in pieces:
        if micros and phase_at(asked) in ("forward", "backward"):
            own[name] += micros / 1e6 / steps
    arithmetic = [own.pop(name) for name in list(own) if ARITHMETIC.search(name)]
    own = {name: seconds for name, seconds in own.items() if not COMMUNICATION.search(name)}
    largest = max(own, key=lambda name: own[name], default=None)
    return {
        "arithmetic_seconds": sum(arithmetic) if arithmetic else None,
        "largest_other": None if largest is None else {"name": largest, "seconds": own[largest]},
    }


def _phase_at(phases: Sequence[Span]) -> Callable[[float], str | None]:
    ordered = sorted(phases)
    starts = [start for start, _, _ in ordered]

    def phase_at(time: float) -> str | None:
        index = bisect.bisect_right(starts, time) - 1
        return ordered[index][2] if index >= 0 and time <= ordered[index][1] else None

    return phase_at


def covered(intervals: Iterable[Interval]) -> float:
    """The length of the union: what overlaps counts once."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def _longest(named: dict[str, list[float]], steps: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"name": name, "seconds": us / 1e6 / steps, "calls": n / steps} for name, (us, n) in named.items()
    ]
    rows.sort(key=lambda row: -row["seconds"])
    rest = rows[LONGEST:]
    other = {"name": "other", "seconds": sum(r["seconds"] for r in rest), "calls": sum(r["calls"] for r in rest)}
    return rows[:LONGEST] + ([other] if rest else [])


def _ranges(events: Iterable[Any]) -> list[Any]:
    named = {f"{DOMAIN}.{phase}" for phase in PHASES}
    return [event for event in events if event.name in named and event.device_type.name == "CPU"]


def _operators(events: Iterable[Any]) -> Iterator[Piece]:
    ours = {f"{DOMAIN}.{name}" for name in (*PHASES, STEP)}
    for event in events:
        if event.name not in ours:
            yield event.name, event.time_range.start, event.self_cpu_time_total


def _kernels(events: Iterable[Any]) -> Iterator[Piece]:
    for event in events:
        for kernel in getattr(event, "kernels", ()):
            yield kernel.name, event.time_range.start, kernel.duration


def _launchers(events: Iterable[Any]) -> Iterator[Piece]:
    """Operators, each with the time of the kernels that it launched."""
    for event in events:
        for kernel in getattr(event, "kernels", ()):
            yield event.name, event.time_range.start, kernel.duration


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
