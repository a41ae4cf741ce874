"""What inference with a net costs, in this process: opening it, its first answer, throughput, and latency."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from fastbs import models
from fastbs.bench.cuda_graph import captured
from fastbs.bench.one_by_one import OneByOne
from fastbs.bench.training_step import switches
from fastbs.config import Precision, StepMode
from fastbs.measurement.memory import memory_held
from fastbs.measurement.steady import measure_steady
from fastbs.training import precision as number_format
from fastbs.training.compiler import why_no_compiler
from fastbs.worker import Unsupported

Forward = Callable[[Tensor], Tensor]


def measure_inference(
    model: str,
    norm: str | None,
    classes: int,
    image_size: int,
    batch_size: int,
    precision: Precision,
    step: StepMode,
    device: str,
    threads: int,
    *,
    cuda_graph: bool,
    **how: Any,
) -> dict[str, Any]:
    """A sample, as `measure_forward` gives it with `how`, of a new net.

    Its random batch is channels_last, in its number format. Weights are in fp32, cast by autocast in each pass as the
    evaluation of a run does. Unsupported where it cannot compile.
    """
    place = set_up(device, threads, precision, cuda_graph)
    start = time.perf_counter()
    torch.manual_seed(0)
    net = models.build(model, classes=classes, image_size=image_size, norm=norm).to(place)
    net = net.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def forward(images: Tensor) -> Tensor:
        with number_format.autocast(precision, place):
            logits: Tensor = net(images)
        return logits

    call = compiled(forward, place) if step == "compile" else forward
    opened = time.perf_counter() - start
    images = torch.randn(
        (batch_size, 3, image_size, image_size), device=place, dtype=number_format.batch_dtype(precision)
    )
    images = images.to(memory_format=torch.channels_last)
    return {"load_seconds": opened} | measure_forward(call, images, cuda_graph=cuda_graph, **how)


def measure_forward(
    forward: Forward,
    images: Tensor,
    *,
    cuda_graph: bool,
    blocks: int,
    block_seconds: float,
    detail: bool,
    least_calls: int,
) -> dict[str, Any]:
    """Inferences of `images`, which lie on the device; with `cuda_graph` replayed, once the first was made without.

    "first_seconds" is the first inference, with all that is chosen and compiled in it. Blocks are throughput: passes
    queued without waiting, nothing copied between host and device. With `detail` follows "latency_seconds" (see
    `OneByOne`) of as many calls as fit into the time of all blocks, `least_calls` at least; and what they are made of.
    """
    run: Callable[[], Tensor] = partial(forward, images)
    with torch.inference_mode():
        first = OneByOne(run, images).seconds()
        if cuda_graph:
            run = captured(forward, images)
        steady = measure_steady(run, images.device, blocks=blocks, block_seconds=block_seconds)
        sample = steady.to_json() | {
            "images": len(images),
            "first_seconds": first,
            "memory": memory_held(images.device),
            **switches(),
        }
        if not detail:
            return sample
        one_by_one = OneByOne(run, images)
        latencies = one_by_one.latencies(steady.seconds, blocks * block_seconds, least_calls)
        return sample | {"latency_seconds": latencies, **one_by_one.parts()}


def set_up(device: str, threads: int, precision: Precision, cuda_graph: bool) -> torch.device:
    """This process, for inference in that number format; Unsupported where there can be no CUDA graph."""
    place = torch.device(device)
    if cuda_graph and place.type != "cuda":
        raise Unsupported("CUDA graphs need an NVIDIA GPU")
    torch.set_num_threads(threads)
    number_format.set_up(precision, place)
    return place


def compiled(forward: Forward, place: torch.device) -> Forward:
    """Through torch.compile; its first call compiles. Unsupported where it cannot."""
    if reason := why_no_compiler(place):
        raise Unsupported(reason)
    return torch.compile(forward)
