"""SGD of one tensor in plain torch, one operator per operation."""

from __future__ import annotations

from torch import Tensor


def sgd_reference(
    weight: Tensor,
    gradient: Tensor,
    average: Tensor | None,
    *,
    rate: float,
    momentum: float,
    dampening: float,
    decay: float,
    nesterov: bool,
    decoupled: bool,
    begun: bool,
) -> None:
    """Update weight and average in place. `begun`: not the first update, whose average is the gradient."""
    g = gradient.float()
    if decoupled:
        weight.mul_(1 - rate * decay)
    else:
        g = g + weight * decay
    if average is not None:
        average.copy_(average * momentum + g * (1 - dampening) if begun else g)
        g = g + average * momentum if nesterov else average
    weight.sub_(g * rate)
