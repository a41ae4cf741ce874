"""Which runs a sweep consists of, and in which order."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from fastbs.analysis.arms import (
    MAIN,
    ROOT_LR,
    SAME_UPDATES,
    SCALED_LR,
    planned_beta2,
    planned_lr,
    planned_updates,
    planned_weight_decay,
)
from fastbs.config import RunConfig, SweepConfig
from fastbs.errors import BadInput


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
    a sweep cut short has whole seeds. The order depends on nothing but the seed numbers. Where dominated sizes are to
    be stopped, the first seed goes from the middle size outwards: the sizes at the ends cost most and win least.
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
        if sweep.stop_dominated and seed == 0:
            middle = (len(sweep.batch_sizes) - 1) / 2
            block.sort(key=lambda run: abs(sweep.batch_sizes.index(run.config.batch_size) - middle))
        plan += block
    return plan


def _arms(sweep: SweepConfig, seed: int, train_images: int) -> list[tuple[str, RunConfig]]:
    def run(arm: str, size: int) -> RunConfig:
        lr = planned_lr(sweep, arm, size)
        beta2, decay = planned_beta2(sweep, size), planned_weight_decay(sweep, size, lr)
        return sweep.run.replace(batch_size=size, seed=seed, lr=lr, beta2=beta2, weight_decay=decay)

    arms = [(MAIN, run(MAIN, size)) for size in sweep.batch_sizes]
    smallest, control = sweep.batch_sizes[0], sweep.control_at or sweep.batch_sizes[-1]
    if not sweep.controls or control == smallest or sweep.run.until_target:
        return arms
    updates = planned_updates(sweep, SAME_UPDATES, control, train_images)
    if updates != planned_updates(sweep, MAIN, control, train_images):
        arms.append((SAME_UPDATES, run(SAME_UPDATES, control).replace(updates=updates)))
    if sweep.lr_rule == "constant":
        arms.append((ROOT_LR, run(ROOT_LR, control)))
    if sweep.lr_rule not in ("linear", "given", "tuned"):
        arms.append((SCALED_LR, run(SCALED_LR, control)))
    return arms


def _planned(arm: str, config: RunConfig) -> PlannedRun:
    name = f"b{config.batch_size:04d}-s{config.seed}" + ("" if arm == MAIN else f"-{arm}")
    return PlannedRun(name, arm, config)
