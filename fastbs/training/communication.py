"""What it costs to average gradients over ranks: a pass through the net with it, and one without."""

from __future__ import annotations

import statistics
import time
from contextlib import nullcontext

import torch

from fastbs.data.batch import Batch
from fastbs.training.step import Step
from fastbs.training.world import World

PAIRS = 10


def measure_communication(step: Step, batch: Batch, device: torch.device, world: World) -> tuple[float, float] | None:
    """Median seconds of forward and backward, with and without the gradients of all ranks; None when alone.

    The two alternate, begin together on all ranks, and end when the device is idle. Their difference is what
    communication adds to a step: what is hidden behind the backward pass is not in it, waiting for slower ranks is.
    """
    if world.ranks == 1:
        return None
    together: list[float] = []
    apart: list[float] = []
    with step.leaving_no_trace():
        for _ in range(PAIRS):
            for seconds, sync in ((together, nullcontext()), (apart, step.keeping_gradients_apart())):
                world.wait()
                start = time.perf_counter()
                with sync:
                    loss, _ = step.forward(batch)
                    loss.backward()
                if device.type == "cuda":
                    torch.cuda.synchronize()
                seconds.append(time.perf_counter() - start)
                step.optimizer.zero_grad()
    return statistics.median(together), statistics.median(apart)
