"""What a weight update costs by itself, without forward or backward, in this process."""

from __future__ import annotations

from typing import Any

import torch

from fastbs.bench.parameter_lists import PARAMETER_LISTS, parameter_list
from fastbs.bench.training_step import switches
from fastbs.bench.update_implementations import IMPLEMENTATIONS, OptimizerName, Update
from fastbs.measurement.memory import memory_held
from fastbs.measurement.steady import measure_steady
from fastbs.profiling.operators import count_operators
from fastbs.profiling.phases import enqueue_seconds

__all__ = ["PARAMETER_LISTS", "UPDATE_IMPLEMENTATIONS", "measure_update", "minimal_bytes", "stream"]

UPDATE_IMPLEMENTATIONS: tuple[str, ...] = tuple(IMPLEMENTATIONS)
READ = {"sgd": 3, "adamw": 4}  # numbers per parameter: weight, gradient and the state of the optimizer
WRITTEN = {"sgd": 2, "adamw": 3}  # the same without the gradient


def measure_update(
    model: str,
    optimizer: OptimizerName,
    implementation: str,
    device: str,
    threads: int,
    blocks: int,
    block_seconds: float,
) -> dict[str, Any]:
    """A sample: blocks of updates of the parameters of `model` (see `parameter_list`) by one of our implementations.

    Gradients are random and stay as they are; dropping or zeroing them is no part of it. All parameters share one rate
    and one weight decay, where training has a second group for biases and norms (and so two calls of its optimizer).
    A list that fits into a cache stays in it from update to update, as it does in training only where forward and
    backward do not push it out: bytes per second of small lists are a cache's, and no promise for a training step.

    "bytes" is what an update must move (`minimal_bytes`), "stream_blocks" are blocks of a `stream` that moves as much,
    in the same process after the updates. "launches" is `count_operators` of one update: device kernels on a GPU,
    dispatched operators on a CPU, where a foreach operator counts once although it loops inside, and compiled code not
    at all. "host_seconds" is what enqueueing one update takes the host of a GPU. "routine" is what worked
    for `ours`, our kernel or torch's operator, and None for others. Unsupported where the implementation
    cannot work.
    """
    place = torch.device(device)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    parameters = parameter_list(model, place)
    count = sum(parameter.numel() for parameter in parameters)
    update = IMPLEMENTATIONS[implementation](parameters, optimizer)
    steady = measure_steady(update, place, blocks=blocks, block_seconds=block_seconds)
    held = memory_held(place)
    streamed = measure_steady(stream(count, optimizer, place), place, blocks=blocks, block_seconds=block_seconds)
    return steady.to_json() | {
        "parameters": count,
        "tensors": len(parameters),
        "bytes": minimal_bytes(count, optimizer),
        "stream_blocks": streamed.to_json()["blocks"],
        "routine": getattr(getattr(update, "__self__", None), "routine", None),
        "launches": count_operators(update, place),
        "host_seconds": enqueue_seconds(update, place),
        "memory": held,
        **switches(),
    }


def minimal_bytes(parameters: int, optimizer: OptimizerName) -> int:
    """Bytes that one update of fp32 parameters cannot do without.

    SGD with momentum reads weight, gradient and momentum and writes weight and momentum: 20 per parameter. AdamW reads
    and writes one state more: 28. Each is moved once: this follows from the update rules, nothing is measured.
    """
    return 4 * (READ[optimizer] + WRITTEN[optimizer]) * parameters


def stream(elements: int, optimizer: OptimizerName, device: torch.device) -> Update:
    """Reads and writes as many arrays of `elements` fp32 numbers as the update does, with next to no arithmetic.

    The sum of two arrays into a third and one copy for SGD (3 read, 2 written), one copy more for AdamW (4 read, 3
    written). It is a yardstick and no bound: each array is another one, while an update writes where it has just read,
    which spares a CPU the reading of lines before they are written and needs less of a cache.
    """
    values = torch.randn(elements, device=device)
    total, left, right, *rest = (values.clone() for _ in range(READ[optimizer] + WRITTEN[optimizer]))
    pairs = list(zip(rest[::2], rest[1::2], strict=True))

    def move() -> None:
        torch.add(left, right, out=total)
        for target, source in pairs:
            target.copy_(source)

    return move
