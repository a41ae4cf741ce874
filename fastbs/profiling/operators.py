"""How many operators a call is made of, and what one of them costs before it computes anything."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

LAYERS = 64  # of the net that is timed
STEPS = 50


def count_operators(call: Callable[[], object], device: str | torch.device) -> int:
    """What one `call` asks of the device: the same from call to call and, of a network on a CPU, at every batch size.

    On a CPU: the aten operators dispatched, of forward, backward and optimizer alike, without those that an operator
    calls in its turn; of compiled code, those that it still calls. On a GPU: the kernels, copies and fills that ran,
    also those within a captured graph. A call that is different the first time must have been made before.
    """
    device = torch.device(device)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or the profiler tells stderr when it starts and stops
    if device.type != "cuda":
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            call()
        return sum(_is_operator(event) and not _is_nested(event) for event in profiler.events() or [])
    torch.cuda.synchronize(device)  # what was asked before is not counted
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        call()
        torch.cuda.synchronize(device)
    return sum(event.device_type.name == "CUDA" and not event.is_user_annotation for event in profiler.events() or [])


def operator_seconds() -> float:
    """What the host spends on one operator of a training step on a CPU, where there is next to nothing to compute.

    The median time of a whole step (forward, backward, fused update) of a deep net of layers with one weight each, over
    its number of operators. So it holds the Python of modules and optimizer, the dispatch, the recording for autograd,
    the engine that runs the backward pass, and small allocations. It leaves out what larger layers need beside their
    arithmetic (the choice of an algorithm, the start of threads, memory from the kernel), the caches that real work
    displaces, and, as the net is deep, what a step costs however few its operators. So operators times this is a lower
    estimate of the host's part of a step, and no time of that step goes into it.
    """
    step = _tiny_step()
    step()  # makes the optimizer's state
    operators = count_operators(step, "cpu")
    seconds = []
    for _ in range(STEPS):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds) / operators


class _Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, value: Tensor) -> Tensor:
        return value * self.weight


def _tiny_step() -> Callable[[], None]:
    net = nn.Sequential(*(_Scale() for _ in range(LAYERS)))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0, momentum=0.9, fused=True)
    one = torch.ones(1)

    def step() -> None:
        with torch.enable_grad():
            net(one).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _is_operator(event: Any) -> bool:
    return event.name.startswith("aten::")


def _is_nested(event: Any) -> bool:
    """Whether another operator called this one; the nodes of the backward pass are no operators."""
    parent = event.cpu_parent
    return parent is not None and (_is_operator(parent) or _is_nested(parent))
