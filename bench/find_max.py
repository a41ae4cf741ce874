"""The largest batch that runs: the answer is a size that ran whole, in a fresh process."""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from fastbs import worker
from fastbs.config import Precision, RunConfig, StepMode
from fastbs.data.available_memory import available_memory_bytes
from fastbs.data.batch import Batch
from fastbs.errors import BadInput
from fastbs.measurement.memory import memory_held
from fastbs.training.precision import autocast, batch_dtype
from fastbs.training.set_up import make_step, prepare_process

TARGET = "fastbs.bench.find_max:try_size"
SHARE = 16  # the answer is known to within 1/16 of itself
STEPS = 3  # before the evaluation, and again after it
SMALL_LR = 1e-6  # weights stay where they are


def find_max(settings: Mapping[str, Any], *, first: int, limit: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """{"batch_size", "bound", "memory", "tried"} of the largest batch that `try_size(**settings)` really ran.

    From `first` (at most `limit`) the size is doubled while it runs, or halved until one runs; then the gap to the
    smallest size that ran out of memory is bisected down to 1/16. Each size is tried once, in a process of its own;
    after one ran out of memory none above it is tried, so a larger one that would run (another algorithm) goes unseen.

    batch_size: None when nothing ran; memory: bytes that it held, as `memory_held` says. tried: [{"batch_size",
    "status", "reason"}, ...] in order. bound: what ended the search: "memory" of the card, "free memory" of the machine
    (which a try on a CPU keeps to by RLIMIT_DATA, else the kernel might kill a neighbour for it), "limit", or the
    status of a size that ended otherwise. `progress` gets a line per try. BadInput is raised at once.
    """
    tried: list[dict[str, Any]] = []
    memory, ran, too_large = None, 0, None
    bound = "free memory" if settings["device"] == "cpu" else "memory"
    size: int | None = min(first, limit)
    while size is not None:
        outcome = worker.call(TARGET, {**settings, "batch_size": size}, threads=settings["threads"])
        if outcome.bad_input:
            raise BadInput(outcome.reason or "")
        tried.append({"batch_size": size, "status": outcome.status, "reason": outcome.reason})
        progress(f"batch size {size:,}: " + ": ".join(filter(None, (outcome.status, outcome.reason))))
        if outcome.status == "ok":
            ran, memory = size, outcome.value["memory"]
        elif outcome.status == "oom":
            too_large = size
        else:
            bound = outcome.status
            break
        if ran == limit:
            bound = "limit"
        size = _next_size(ran, too_large, limit)
    return {"batch_size": ran or None, "bound": bound, "memory": memory, "tried": tried}


def _next_size(ran: int, too_large: int | None, limit: int) -> int | None:
    """Given the largest size that ran (0: none) and the smallest that did not; None when they are close enough."""
    if too_large is None:
        return min(2 * ran, limit) if ran < limit else None
    if too_large - ran <= max(1, ran // SHARE):
        return None
    return (ran + too_large) // 2


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
    """What a run does to memory, in this process: {"memory": bytes held at most, as `memory_held` says}.

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
