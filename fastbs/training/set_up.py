"""What a run is made of: process, net, step and loaders, built from a resolved configuration."""

from __future__ import annotations

from typing import Literal

import torch

from fastbs import models
from fastbs.config import RunConfig
from fastbs.data.batch import Batch, Loader
from fastbs.data.dataset import Dataset
from fastbs.data.loaders import make_loader
from fastbs.training import precision
from fastbs.training.step import Step
from fastbs.training.world import ALONE, World
from fastbs.worker import Unsupported


def prepare_process(run: RunConfig) -> torch.device:
    """Threads, number formats and seed of this process; the device that the run computes on."""
    device = torch.device(run.device or "cpu")
    torch.set_num_threads(run.threads or 1)
    precision.set_up(run.precision or "fp32", device)
    torch.manual_seed(run.seed)
    return device


def make_step(run: RunConfig, classes: int, device: torch.device, world: World = ALONE) -> Step:
    """The net in training mode with its optimizer, warmed up and otherwise untouched.

    With several ranks, `run` is what each of them does; they start from the weights of the first.
    One step that leaves no trace is made here, so that compilation and algorithm choice are start-up and not training.
    Unsupported when the net cannot run at this batch size.
    """
    side = run.image_size or 0
    model = models.build(
        run.model, classes=classes, image_size=side, norm=run.norm, pretrained=run.pretrained, init=run.init
    )
    channels_last: torch.nn.Module = model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    step = Step(channels_last.train(), run, device, world.engine(channels_last))
    try:
        step.warm_up(black_batch(run, device))
    except ValueError as error:
        reason = models.unsupported_reason(error)
        if reason is None:
            raise
        raise Unsupported(reason) from error
    return step


def black_batch(run: RunConfig, device: torch.device) -> Batch:
    """A batch of the shape that the run trains on."""
    side = run.image_size or 0
    shape = (run.pass_images, 3, side, side)
    images = torch.zeros(shape, device=device, dtype=precision.batch_dtype(run.precision or "fp32"))
    labels = torch.zeros(run.pass_images, device=device, dtype=torch.int64)
    return Batch(images.to(memory_format=torch.channels_last), labels)


def make_run_loader(
    run: RunConfig,
    dataset: Dataset,
    split: Literal["train", "validation"],
    device: torch.device,
    world: World = ALONE,
) -> Loader:
    """The loader of one side of the split, at the batch size that the run has for it."""
    return make_loader(
        run.loader,
        dataset,
        split,
        batch_size=run.pass_images if split == "train" else run.eval_batch_size,
        image_size=run.image_size or 0,
        augment=run.augment or "none",
        dtype=precision.batch_dtype(run.precision or "fp32"),
        device=device,
        seed=run.seed,
        threads=run.loader_threads or 1,
        rank=world.rank,
        ranks=world.ranks,
    )
