"""How long one batch takes, from the host and back: every call by itself, with its parts on a GPU."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Call = Callable[[Tensor], Tensor]
MOST_CALLS = 2000


def measure_latency(
    call: Call, to_device: Call, images: Tensor, device: torch.device, *, least_calls: int, seconds: float
) -> dict[str, Any]:
    """Call after call, each waited for: "latency_seconds" of each, and medians of its parts in seconds.

    `images` lie on the host (pinned, for a GPU). The terms are trtexec's: latency is H2D + compute + D2H as the host
    sees it, compute the card's time for the net alone, enqueue the host's time to ask for that. On a CPU nothing is
    copied, so there are no parts. At least `least_calls`, and as many more as `seconds` have room for.
    """
    parts: dict[str, list[float]] = {"latency": [], "h2d": [], "compute": [], "d2h": [], "enqueue": []}
    one = _on_gpu if device.type == "cuda" else _on_cpu
    begin = time.perf_counter()
    while len(parts["latency"]) < least_calls or (
        time.perf_counter() - begin < seconds and len(parts["latency"]) < MOST_CALLS
    ):
        for name, value in one(call, to_device, images).items():
            parts[name].append(value)
    found = {f"{name}_seconds": statistics.median(own) if own else None for name, own in parts.items()}
    return found | {"latency_seconds": parts["latency"]}


def _on_cpu(call: Call, to_device: Call, images: Tensor) -> dict[str, float]:
    ready = to_device(images)
    start = time.perf_counter()
    call(ready)
    return {"latency": time.perf_counter() - start}


def _on_gpu(call: Call, to_device: Call, images: Tensor) -> dict[str, float]:
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(4)]
    start = time.perf_counter()
    marks[0].record()
    there = to_device(images)
    marks[1].record()
    asked = time.perf_counter()
    logits = call(there)
    enqueued = time.perf_counter() - asked
    marks[2].record()
    logits.cpu()
    marks[3].record()
    marks[3].synchronize()
    latency = time.perf_counter() - start
    h2d, compute, d2h = (before.elapsed_time(after) / 1e3 for before, after in zip(marks, marks[1:], strict=False))
    return {"latency": latency, "h2d": h2d, "compute": compute, "d2h": d2h, "enqueue": enqueued}


def captured(call: Call, images: Tensor) -> Call:
    """`call` as a CUDA graph, launched by the host as one. Every batch is copied to where `images` lie."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):  # libraries allocate and choose in the first calls, which a capture forbids
            call(images)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits = call(images)

    def replay(batch: Tensor) -> Tensor:
        if batch is not images:
            images.copy_(batch)
        graph.replay()
        return logits

    return replay
