"""What a forward pass of a net in evaluation costs, in this process: a new net in torch, or an exported one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fastbs import models
from fastbs.bench.latency import captured, measure_latency
from fastbs.bench.training_step import switches
from fastbs.config import Precision, StepMode
from fastbs.deployment.open_artifact import open_artifact
from fastbs.measurement.memory import memory_held
from fastbs.measurement.steady import measure_steady
from fastbs.training import precision as number_format
from fastbs.training.compiler import why_no_compiler
from fastbs.worker import Unsupported

Call = Callable[[Tensor], Tensor]


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
    **how: Any,
) -> dict[str, Any]:
    """A sample of a new net with random weights, in fp32, cast by autocast in each pass as evaluations do.

    Batches are channels_last. `how` is that of `_sample`. Unsupported where it cannot compile.
    """
    place, begin = torch.device(device), time.perf_counter()
    if step == "compile" and (reason := why_no_compiler(place)):
        raise Unsupported(reason)
    torch.set_num_threads(threads)
    number_format.set_up(precision, place)
    torch.manual_seed(0)
    net = models.build(model, classes=classes, image_size=image_size, norm=norm).to(place)
    net = net.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def to_device(images: Tensor) -> Tensor:
        moved = images.to(place, number_format.batch_dtype(precision), non_blocking=True)
        return moved.contiguous(memory_format=torch.channels_last)

    def forward(images: Tensor) -> Tensor:
        with number_format.autocast(precision, place):
            logits: Tensor = net(images)
        return logits

    call = torch.compile(forward) if step == "compile" else forward
    return _sample(call, to_device, (batch_size, 3, image_size, image_size), place, begin, **how)


def measure_artifact(
    folder: str, image_size: int, batch_size: int, device: str, threads: int, **how: Any
) -> dict[str, Any]:
    """A sample of the artefact in `folder`. Unsupported where it cannot be run here, or does not take that size."""
    place, begin = torch.device(device), time.perf_counter()
    torch.set_num_threads(threads)
    deployed = open_artifact(Path(folder), place, threads)
    if not deployed.batch.holds(batch_size):
        raise Unsupported(f"batch {batch_size}: it was exported for {deployed.batch.describe()}")

    def to_device(images: Tensor) -> Tensor:
        return images.to(place, non_blocking=True)

    shape = (batch_size, 3, image_size, image_size)
    return _sample(deployed.forward, to_device, shape, place, begin, **how)


def _sample(
    call: Call,
    to_device: Call,
    shape: tuple[int, ...],
    device: torch.device,
    begin: float,
    *,
    cuda_graph: bool,
    blocks: int,
    block_seconds: float,
    detail: bool,
    least_calls: int,
) -> dict[str, Any]:
    """Throughput in blocks, then, with `detail`, latency call by call; loading and the first call apart.

    In the blocks one batch lies on the device; on a GPU passes are queued without waiting, so that a pass takes as long
    as the slower one of host and card. Loading lasted from `begin` to here.
    """
    loaded = time.perf_counter() - begin
    on_gpu = device.type == "cuda"
    if cuda_graph and not on_gpu:
        raise Unsupported("CUDA graphs need an NVIDIA GPU")
    host = torch.randn(shape, generator=torch.Generator().manual_seed(0), pin_memory=on_gpu)
    with torch.inference_mode():
        images, start = to_device(host), time.perf_counter()
        call(images).cpu()
        first = time.perf_counter() - start
        run = captured(call, images) if cuda_graph else call
        steady = measure_steady(lambda: run(images), device, blocks=blocks, block_seconds=block_seconds)
        sample = steady.to_json() | {"images": shape[0], "memory": memory_held(device), **switches()}
        sample |= {"load_seconds": loaded, "first_seconds": first}
        if detail:
            seconds = blocks * block_seconds
            sample |= measure_latency(run, to_device, host, device, least_calls=least_calls, seconds=seconds)
    return sample
