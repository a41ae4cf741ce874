"""How much a step computes, and how fast this device multiplies matrices: the roof under which it trains."""

from __future__ import annotations

import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from fastbs.config import Precision
from fastbs.data.batch import Batch
from fastbs.training.step import Step

SIDES = {"cpu": 1024, "cuda": 8192}  # of the matrices: large enough that reading them does not count
SECONDS, FEWEST = 0.3, 3
TYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def step_flops(step: Step, batch: Batch) -> int:
    """Floating-point operations of the matrix products and convolutions of one pass forward and backward.

    As torch counts them (a multiplication and an addition are two); all else that a step computes is small beside them.
    Weights, buffers and random numbers are afterwards what they were.
    """
    with step.leaving_no_trace(), FlopCounterMode(display=False) as counter:
        loss, _ = step.net_and_loss(batch.images, batch.labels)
        loss.backward()
    return int(counter.get_total_flops())


def matmul_rate(precision: Precision, device: torch.device) -> float:
    """FLOP/s of a product of large square matrices in `precision`, with the threads and switches of this process.

    The fastest of some: what disturbs can only slow down. Convolutions may be faster than this (Winograd's need fewer
    operations), so a step may come out above 1.
    """
    side = SIDES[device.type]
    left, right = (torch.randn(side, side, device=device).to(TYPES[precision]) for _ in range(2))
    fastest, begun, done = float("inf"), time.perf_counter(), 0
    while done < FEWEST or time.perf_counter() - begun < SECONDS:
        _wait(device)
        start = time.perf_counter()
        torch.mm(left, right)
        _wait(device)
        fastest, done = min(fastest, time.perf_counter() - start), done + 1
    return 2 * side**3 / fastest


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
