"""AdamW of one tensor in plain torch, one operator per operation."""

from __future__ import annotations

import math

from torch import Tensor


def adamw_reference(
    weight: Tensor,
    gradient: Tensor,
    average: Tensor,
    square: Tensor,
    step: int,
    *,
    rate: float,
    betas: tuple[float, float],
    epsilon: float,
    decay: float,
) -> None:
    """Update weight and averages in place; `step` is 1 at the first update."""
    g = gradient.float()
    weight.mul_(1 - rate * decay)
    average.add_((g - average) * (1 - betas[0]))
    square.copy_(square * betas[1] + g * g * (1 - betas[1]))
    root = square.double().sqrt().float()  # to nearest; torch's fp32 root is off by one bit now and then
    denominator = root / math.sqrt(1 - betas[1] ** step) + epsilon
    weight.sub_(average * (rate / (1 - betas[0] ** step)) / denominator)
