"""Which runs a sweep consists of, and in which order."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from fastbs.analysis.learning_rate import scaled_lr
from fastbs.config import RunConfig, SweepConfig
from fastbs.errors import BadInput
from fastbs.training.budget import total_updates, updates_per_epoch

MAIN, SAME_UPDATES, SCALED_LR = "main", "same-updates", "scaled-lr"


@dataclass(frozen=True)
class PlannedRun:
    id: str
    arm: str
    config: RunConfig

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, "arm": self.arm, "config": self.config.to_json()}


def make_plan(sweep: SweepConfig, train_images: int) -> list[PlannedRun]:
    """The runs of `sweep` (its run resolved), each seed a block in random order, main runs and controls together.

    Seeds are paired: the same seed gives every batch size the same initial weights and the same order of images.
    Within a seed the order is random, so that a machine that slows down or warms up favours no batch size, and so that
    a sweep cut short has whole seeds. The order depends on nothing but the seed numbers.
    """
    for batch_size in sweep.batch_sizes:
        if batch_size > train_images:
            raise BadInput(
                f"batch-sizes: {batch_size} is larger than the training set of {train_images:,} images; leave it out"
            )
    plan: list[PlannedRun] = []
    for seed in range(sweep.seeds):
        block = [_planned(arm, config) for arm, config in _arms(sweep, seed, train_images)]
        random.Random(seed).shuffle(block)
        plan += block
    return plan


def _arms(sweep: SweepConfig, seed: int, train_images: int) -> list[tuple[str, RunConfig]]:
    at = sweep.lr_at or sweep.batch_sizes[0]
    runs = [
        sweep.run.replace(batch_size=size, seed=seed, lr=scaled_lr(sweep.lr_rule, sweep.run.lr, size, at))
        for size in sweep.batch_sizes
    ]
    arms = [(MAIN, run) for run in runs]
    smallest = runs[0]
    control = next(run for run in runs if run.batch_size == (sweep.control_at or sweep.batch_sizes[-1]))
    if not sweep.controls or control is smallest:
        return arms
    if updates_per_epoch(train_images, smallest.batch_size) != updates_per_epoch(train_images, control.batch_size):
        arms.append((SAME_UPDATES, control.replace(updates=total_updates(smallest, train_images))))
    scaled = smallest.lr * control.batch_size / smallest.batch_size
    if sweep.lr_rule != "linear":
        arms.append((SCALED_LR, control.replace(lr=scaled)))
    return arms


def _planned(arm: str, config: RunConfig) -> PlannedRun:
    name = f"b{config.batch_size:04d}-s{config.seed}" + ("" if arm == MAIN else f"-{arm}")
    return PlannedRun(name, arm, config)
