"""The parts of a training step, timed one by one."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch

from fastbs.data.batch import Batch
from fastbs.training.step import Step

PHASES = ("input", "forward", "backward", "update", "rest")
FEWEST_STEPS = 5
ENQUEUED_CALLS = 9  # each on an empty queue


def measure_phases(
    step: Step, batches: Iterator[Batch], device: str | torch.device, *, seconds: float = 1.0
) -> dict[str, float]:
    """Median seconds per step of `PHASES`, over about `seconds` of training that is warm, five steps at least.

    It trains as `step(batch)` does, on `batches` without end. "rest" is what follows the update: gradients
    dropped, loss and hits summed.

    On a CPU the clock of the host is read between the phases. On a GPU, events between them are read when all is done,
    and nothing is waited for inside a step: what overlaps in training overlaps here. The phases then cut the time of
    the device without a gap, and "input" is what the device did for the next batch, or lost by waiting for it. The
    host's clock would not tell that: where the device is the slower one, the host spends most of a step held up in
    whatever it asks for next, which may well be the next batch.
    """
    watch = _watch(device)
    marks = [_marked_step(step, batches, watch) for _ in range(FEWEST_STEPS)]
    watch.wait()
    per_step = watch.seconds(marks[0][0], marks[-1][-1]) / FEWEST_STEPS
    marks += [_marked_step(step, batches, watch) for _ in range(math.ceil(seconds / per_step) - FEWEST_STEPS)]
    watch.wait()
    steps = [[watch.seconds(start, end) for start, end in itertools.pairwise(row)] for row in marks]
    return {phase: statistics.median(column) for phase, column in zip(PHASES, zip(*steps, strict=True), strict=True)}


def measure_in_turns(
    step: Step,
    batches: Iterator[Batch],
    device: str | torch.device,
    *,
    rounds: int,
    seconds: float,
    agreed: Callable[[float], float] = float,
) -> dict[str, Any]:
    """A step as a whole and a step in its phases, in turns: whatever disturbs the machine disturbs both.

    "step_seconds" and "phases" are means over the middle half of `rounds` by their length, about `seconds` each: so
    the phases add up to the time of a marked step, which may be held against that of a whole one among the same
    rounds. Which of the two is first changes from pair to pair: what happens at every second step, such as a garbage
    collection, is no one's. The step must be warm. `agreed` as in `measure_steady`.
    """
    watch, whole_first = _watch(device), itertools.cycle([True, False])

    def mean_of(pairs: int) -> list[float]:
        spans = [_pair(step, batches, watch, next(whole_first)) for _ in range(pairs)]
        watch.wait()
        return [statistics.fmean(watch.seconds(*span) for span in column) for column in zip(*spans, strict=True)]

    pairs = max(1, round(seconds / agreed(sum(mean_of(FEWEST_STEPS)))))
    means = [mean_of(pairs) for _ in range(rounds)]
    middle = sorted(means, key=sum)[rounds // 4 : rounds - rounds // 4]
    whole, *parts = [statistics.fmean(column) for column in zip(*middle, strict=True)]
    return {"step_seconds": whole, "phases": dict(zip(PHASES, parts, strict=True))}


def _pair(step: Step, batches: Iterator[Batch], watch: _Watch, whole_first: bool) -> list[tuple[Any, Any]]:
    """A step with nothing inside it and a marked one: the marks around the first, then those around each phase."""
    if whole_first:
        before = watch.mark()
        step(next(batches))
        marks = _marked_step(step, batches, watch)
        return [(before, marks[0]), *itertools.pairwise(marks)]
    marks = _marked_step(step, batches, watch)
    step(next(batches))
    return [(marks[-1], watch.mark()), *itertools.pairwise(marks)]


def enqueue_seconds(call: Callable[[], object], device: str | torch.device) -> float | None:
    """Host time of one `call` that is not waited for, on a GPU; None on a CPU, where the host does the work itself.

    The median of a few calls, each on an empty queue. A call that launches more than the queue takes (about a thousand)
    waits for the device, and so does one that reads a result: then this is the time of the device, not of the host.
    """
    device = torch.device(device)
    if device.type != "cuda":
        return None
    seconds = []
    for _ in range(ENQUEUED_CALLS):
        torch.cuda.synchronize(device)
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    torch.cuda.synchronize(device)
    return statistics.median(seconds)


def step_in_parts(step: Step, batches: Iterator[Batch], around: Callable[[str], AbstractContextManager[Any]]) -> None:
    """One training step as `step(next(batches))` makes it, each of its `PHASES` within `around(its name)`."""
    with around("input"):
        batch = next(batches)
    with around("forward"):
        loss, logits = step.forward(batch)
    with around("backward"):
        step.backward(loss)
    with around("update"):
        step.update()
    with around("rest"):
        step.finish(batch, loss, logits)


class _Watch(Protocol):
    def mark(self) -> Any:
        """Now, in the order of the work."""

    def wait(self) -> None:
        """Until all marks can be read."""

    def seconds(self, start: Any, end: Any) -> float: ...


class _HostWatch:
    def mark(self) -> float:
        return time.perf_counter()

    def wait(self) -> None:
        pass

    def seconds(self, start: float, end: float) -> float:
        return end - start


class _DeviceWatch:
    def __init__(self, device: torch.device) -> None:
        self._device = device

    def mark(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def wait(self) -> None:
        torch.cuda.synchronize(self._device)

    def seconds(self, start: torch.cuda.Event, end: torch.cuda.Event) -> float:
        return start.elapsed_time(end) / 1e3  # ms


def _watch(device: str | torch.device) -> _Watch:
    device = torch.device(device)
    return _DeviceWatch(device) if device.type == "cuda" else _HostWatch()


def _marked_step(step: Step, batches: Iterator[Batch], watch: _Watch) -> list[Any]:
    """One step, and the six marks that enclose its five phases."""
    marker = _Marker(watch)
    step_in_parts(step, batches, lambda name: marker)
    return marker.marks


class _Marker:
    """A mark now, and one at the end of each part."""

    def __init__(self, watch: _Watch) -> None:
        self._watch, self.marks = watch, [watch.mark()]

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.marks.append(self._watch.mark())
