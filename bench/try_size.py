"""Does a batch size run? What a run does to memory, once, in this process."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any, Literal

import torch

from fastbs.config import Precision, RunConfig, StepMode
from fastbs.data.available_memory import available_memory_bytes
from fastbs.data.batch import Batch
from fastbs.measurement.memory import memory_held
from fastbs.training.precision import autocast, batch_dtype
from fastbs.training.set_up import make_step, prepare_process

STEPS = 3  # before the evaluation, and again after it
SMALL_LR = 1e-6  # weights stay where they are


def try_size(
    model: str,
    norm: str | None,
    classes: int,
    image_size: int,
    batch_size: int,
    precision: Precision,
    step: StepMode,
    optimizer: Literal["sgd", "adamw"],
    device: str,
    threads: int,
) -> dict[str, Any]:
    """{"memory": bytes held at most, as `memory_held` says}.

    Training steps with the optimizer's state, an evaluation pass at the same size, and steps again, which must live
    with the pieces that the evaluation left of the allocator's memory. Each gets a new random batch while the one
    before is still held, as from a loader. Whatever the size leads to is raised.
    """
    if device == "cpu":
        keep_to_free_memory()
    run = RunConfig.from_json(
        {
            "data": "synthetic",
            "model": model,
            "norm": norm,
            "image_size": image_size,
            "batch_size": batch_size,
            "precision": precision,
            "loader": "synthetic",
            "step": step,
            "optimizer": optimizer,
            "lr": SMALL_LR,
            "device": device,
            "threads": threads,
        }
    )
    place = prepare_process(run)
    train = make_step(run, classes, place)
    for _ in range(STEPS):
        batch = _random_batch(run, classes, place)
        train(batch)
    train.model.eval()
    batch = _random_batch(run, classes, place)
    with torch.no_grad(), autocast(precision, place):
        train.model(batch.images)
    train.model.train()
    for _ in range(STEPS):
        batch = _random_batch(run, classes, place)
        train(batch)
    train.take_metrics()  # waits for the device: what it could not do is raised here
    return {"memory": memory_held(place)}


def keep_to_free_memory() -> None:
    """From here on this process gets no more memory than is free now: asking for more is a clean error (Linux).

    RLIMIT_DATA counts private writable memory, that which this process has already included. A lower limit stays.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    held = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData:"))
    most = held + available_memory_bytes(torch.device("cpu"))
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most if soft == resource.RLIM_INFINITY else min(most, soft), hard))


def _random_batch(run: RunConfig, classes: int, device: torch.device) -> Batch:
    """Made on the device: the host's memory is not what is asked about."""
    side, dtype = run.image_size or 0, batch_dtype(run.precision or "fp32")
    images = torch.empty((run.batch_size, 3, side, side), device=device, dtype=dtype, memory_format=torch.channels_last)
    return Batch(images.normal_(), torch.randint(classes, (run.batch_size,), device=device))
