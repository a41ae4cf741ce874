"""What a forward pass of a net in evaluation costs, in this process."""

from __future__ import annotations

from typing import Any

import torch

from fastbs import models
from fastbs.bench.training_step import switches
from fastbs.config import Precision, StepMode
from fastbs.measurement.memory import memory_held
from fastbs.measurement.steady import measure_steady
from fastbs.training import precision as number_format
from fastbs.training.compiler import why_no_compiler
from fastbs.worker import Unsupported


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
    blocks: int,
    block_seconds: float,
) -> dict[str, Any]:
    """A sample: blocks of forward passes over one random batch that lies on the device, channels_last.

    Weights are those of a new net, in fp32, cast by autocast in each pass as the evaluation of a run does. Nothing is
    copied between host and device: neither images in nor logits out are part of a call. On a GPU, passes are queued
    without waiting, so a call takes as long as the slower one of host and card. Unsupported where it cannot compile.
    """
    place = torch.device(device)
    if step == "compile" and (reason := why_no_compiler(place)):
        raise Unsupported(reason)
    torch.set_num_threads(threads)
    number_format.set_up(precision, place)
    torch.manual_seed(0)
    net = models.build(model, classes=classes, image_size=image_size, norm=norm).to(place)
    net = net.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    images = torch.randn(
        (batch_size, 3, image_size, image_size), device=place, dtype=number_format.batch_dtype(precision)
    )
    images = images.to(memory_format=torch.channels_last)

    def forward() -> torch.Tensor:
        with number_format.autocast(precision, place):
            logits: torch.Tensor = net(images)
        return logits

    call = torch.compile(forward) if step == "compile" else forward
    with torch.inference_mode():
        steady = measure_steady(call, place, blocks=blocks, block_seconds=block_seconds)
    return steady.to_json() | {"images": batch_size, "memory": memory_held(place), **switches()}
