"""A net's pass over one batch as a CUDA graph: launched as a whole, by one call of the host."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fastbs.worker import Unsupported

WARM_CALLS = 3  # what is chosen, compiled or allocated at first must not be part of the graph


def captured(forward: Callable[[Tensor], Tensor], images: Tensor) -> Callable[[], Tensor]:
    """Replays `forward(images)`: always the same memory, whatever is in `images` then; returns the same logits tensor.

    Unsupported where the pass cannot be captured: it waits for the device, or allocates memory by itself.
    """
    beside = torch.cuda.Stream(images.device)
    beside.wait_stream(torch.cuda.current_stream(images.device))
    with torch.cuda.stream(beside):
        for _ in range(WARM_CALLS):
            forward(images)
    torch.cuda.current_stream(images.device).wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            logits = forward(images)
    except RuntimeError as error:
        raise Unsupported(f"the pass cannot be captured as a CUDA graph: {error}") from error

    def replay() -> Tensor:
        graph.replay()
        return logits

    return replay
