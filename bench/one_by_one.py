"""Inferences one after the other, as their caller waits for them: host latency, and what it is made of on a GPU."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fastbs.profiling.phases import enqueue_seconds

MOST = 500  # calls of a process: with three of them, 15 lie above the 99th percentile
WARM_CALLS = 3
PART_CALLS = 25
PARTS = ("h2d_seconds", "compute_seconds", "d2h_seconds", "enqueue_seconds")
FASTEST_CLOCK = 3e9  # Hz, of any card: on a slower one the device sleeps longer, which does no harm


class OneByOne:
    """A call takes images from host memory and leaves logits there; on a CPU, where both are, it is `run` alone.

    `run` computes the logits of `images` (B, 3, side, side), which lie on the device; a call writes over them. On a GPU
    host memory is pinned, and a call ends when the logits have arrived.
    """

    def __init__(self, run: Callable[[], Tensor], images: Tensor) -> None:
        self.run = run
        self._images = images
        self._on_gpu = images.is_cuda
        self._logits: Tensor | None = None
        if self._on_gpu:
            self._host_images = torch.empty_like(images, device="cpu", pin_memory=True).copy_(images)

    def __call__(self) -> None:
        if self._on_gpu:
            self._copy_in()
            self._copy_out(self.run())
            torch.cuda.synchronize(self._images.device)
        else:
            self.run()

    def seconds(self) -> float:
        """Of one call, by the host's clock."""
        start = time.perf_counter()
        self()
        return time.perf_counter() - start

    def latencies(self, about: float, budget: float, least: int) -> list[float]:
        """Seconds of so many calls as fit into `budget` at `about` each, at least `least` and at most MOST.

        Rounded to a tenth of a microsecond.
        """
        for _ in range(WARM_CALLS):
            self()
        calls = max(least, min(MOST, round(budget / about)))
        return [round(self.seconds(), 7) for _ in range(calls)]

    def parts(self) -> dict[str, float | None]:
        """Medians over PART_CALLS calls, None on a CPU, where there is nothing to copy and nothing to enqueue.

        The device sleeps until a call is queued whole, so that "compute_seconds" has no gaps in which it waits for the
        host: only then can it be held against "enqueue_seconds", the host's time for `run`. (trtexec's includes them,
        and therefore speaks of a slow host from 0.8 on.)
        """
        if not self._on_gpu:
            return dict.fromkeys(PARTS)
        device = self._images.device
        enqueue = enqueue_seconds(self.run, device)
        assert enqueue is not None  # on a GPU
        asleep = round(FASTEST_CLOCK * (2 * enqueue + 200e-6))  # cycles
        rows = []
        for _ in range(PART_CALLS):
            torch.cuda._sleep(asleep)
            marks = [_mark()]
            self._copy_in()
            marks.append(_mark())
            logits = self.run()
            marks.append(_mark())
            self._copy_out(logits)
            marks.append(_mark())
            torch.cuda.synchronize(device)
            rows.append([start.elapsed_time(end) / 1e3 for start, end in itertools.pairwise(marks)])  # from ms
        medians = [statistics.median(column) for column in zip(*rows, strict=True)]
        return dict(zip(PARTS, [*medians, enqueue], strict=True))

    def _copy_in(self) -> None:
        self._images.copy_(self._host_images, non_blocking=True)

    def _copy_out(self, logits: Tensor) -> None:
        if self._logits is None:
            self._logits = torch.empty_like(logits, device="cpu", pin_memory=True)
        self._logits.copy_(logits, non_blocking=True)


def _mark() -> Any:
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event
