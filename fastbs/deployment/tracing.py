"""A net as the graph that torch.export makes of it, open for every batch size it is to take."""

from __future__ import annotations

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from fastbs.deployment.batch_range import BatchRange
from fastbs.worker import Unsupported


def example(side: int, batch: BatchRange) -> torch.Tensor:
    """Images to trace with. Never one where there may be more: torch.export would take the 1 for a constant."""
    return torch.zeros(min(max(2, batch.min), batch.max), 3, side, side)


def open_batch(batch: BatchRange) -> tuple[dict[int, Dim]]:
    """`dynamic_shapes` of a net whose one argument are the images."""
    return ({0: Dim("batch", min=batch.min, max=batch.max)} if batch.min < batch.max else {},)


def trace(net: nn.Module, side: int, batch: BatchRange) -> ExportedProgram:
    """Unsupported where torch.export cannot follow the net, as where it branches on values."""
    device = next((weight.device for weight in net.parameters()), torch.device("cpu"))
    try:
        return torch.export.export(net, (example(side, batch).to(device),), dynamic_shapes=open_batch(batch))
    except Exception as error:  # of torch's tracer, or of the net's own code called with stand-ins
        said = " ".join(str(error).split())
        raise Unsupported(f"torch.export cannot follow the net: {type(error).__name__}: {said[:300]}") from error
