"""What a training step costs, in this process: its steady speed, then its phases, its operators and its memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from fastbs.config import RunConfig
from fastbs.data.batch import Batch, Loader
from fastbs.data.dataset import Dataset
from fastbs.measurement.allocator import allocator
from fastbs.measurement.memory import memory_held
from fastbs.measurement.steady import measure_steady
from fastbs.profiling.operators import count_operators, operator_seconds
from fastbs.profiling.phases import enqueue_seconds, measure_phases
from fastbs.results.files import read_json
from fastbs.training.set_up import make_run_loader, make_step, prepare_process
from fastbs.training.step import Step
from fastbs.training.world import ALONE, World


def measure_training_step(
    config: dict[str, Any], dataset: str, blocks: int, block_seconds: float, detail: bool = True
) -> dict[str, Any]:
    """A sample: blocks of whole training steps (input included) of the resolved RunConfig `config`.

    `dataset` is the file that holds the Dataset. The step that is timed is the one that runs train with, nothing added;
    with `detail` the same process then looks closer (phases, operators, host time), which the blocks never see.
    """
    run = RunConfig.from_json(config)
    with training(run, Dataset.from_json(read_json(Path(dataset), "dataset"))) as (step, batches, device):
        steady = measure_steady(lambda: step(next(batches)), device, blocks=blocks, block_seconds=block_seconds)
        held = memory_held(device)
        sample = steady.to_json() | {"images": run.batch_size, "memory": held, **switches()}
        if not detail:
            return sample
        batch = next(batches)
        return sample | {
            "phases": measure_phases(step, batches, device, seconds=2 * block_seconds),
            "host_seconds": enqueue_seconds(lambda: step(batch), device),
            "operators": count_operators(lambda: step(batch), device),
            "operator_seconds": operator_seconds(),
        }


@contextmanager
def training(
    run: RunConfig, images: Dataset, world: World = ALONE
) -> Iterator[tuple[Step, Iterator[Batch], torch.device]]:
    """The step that runs train with, its batches without end, and where it computes; this process is set up for it.

    With several ranks, `run` is what each of them does.
    """
    device = prepare_process(run)
    step = make_step(run, len(images.classes), device, world)
    with make_run_loader(run, images, "train", device, world) as loader:
        loader.prepare()
        yield step, endless(loader), device


def switches() -> dict[str, Any]:
    """The settings of this process that decide its speed."""
    return {
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "allocator": allocator(),
    }


def endless(loader: Loader) -> Iterator[Batch]:
    while True:
        yield from loader
