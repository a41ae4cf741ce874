"""What the runs of a sweep set out to do: learning rate and updates of each arm at each batch size."""

from __future__ import annotations

import math

from fastbs.analysis.budget import total_updates
from fastbs.analysis.learning_rate import scaled_beta2, scaled_lr, scaled_weight_decay
from fastbs.config import LrRule, SweepConfig

MAIN, SAME_UPDATES, ROOT_LR, SCALED_LR = "main", "same-updates", "root-lr", "scaled-lr"
RATE_CONTROLS = (ROOT_LR, SCALED_LR)


def planned_lr(config: SweepConfig, arm: str, batch_size: int) -> float:
    """Main runs and the same updates: by the sweep's rule. Other controls: see `rate_factor`."""
    if arm in RATE_CONTROLS:
        smallest = config.batch_sizes[0]
        return _rate(config, smallest) * rate_factor(arm, batch_size / smallest)
    return _rate(config, batch_size)


def rate_factor(arm: str, ratio: float) -> float:
    """By what a control scales the rate of the smallest batch size, at `ratio` times that size.

    In proportion, as SGD's rule has it, and by the root, as Adam's has it: where neither takes a loss away, it is less
    likely that a third rate would.
    """
    return ratio if arm == SCALED_LR else math.sqrt(ratio)


def planned_beta2(config: SweepConfig, batch_size: int) -> float:
    return scaled_beta2(config.lr_rule, config.run.beta2, batch_size, config.lr_at or config.batch_sizes[0])


def planned_weight_decay(config: SweepConfig, batch_size: int, lr: float) -> float:
    """Of a run at rate `lr`, by the sweep's rule: the run's own where that is constant."""
    at = config.lr_at or config.batch_sizes[0]
    lr_at = dict(config.lrs).get(at, config.run.lr) if config.lr_rule == "given" else config.run.lr
    return scaled_weight_decay(config.weight_decay_rule, config.run.weight_decay, batch_size / at, lr / lr_at)


def planned_updates(config: SweepConfig, arm: str, batch_size: int, train_images: int) -> int:
    """By the budget of the run; the same updates: as many as the smallest size makes."""
    size = config.batch_sizes[0] if arm == SAME_UPDATES else batch_size
    return total_updates(config.run.replace(batch_size=size, micro_batch=None), train_images)


def rate_is_scaled(config: SweepConfig) -> bool:
    """Whether larger batches had larger or tuned rates; at one constant rate, size and rate are confounded."""
    if config.lr_rule == "given":
        return len({lr for _, lr in config.lrs}) > 1
    return config.lr_rule != "constant"


def untuned_lr(config: SweepConfig, batch_size: int) -> float:
    """Where the search for a rate begins: linear for SGD, with the root for AdamW."""
    rule: LrRule = "sqrt" if config.run.optimizer == "adamw" else "linear"
    return scaled_lr(rule, config.run.lr, batch_size, config.lr_at or config.batch_sizes[0])


def _rate(config: SweepConfig, batch_size: int) -> float:
    rates = dict(config.lrs)
    if batch_size in rates:
        return rates[batch_size]
    if config.lr_rule == "tuned":  # not yet
        return untuned_lr(config, batch_size)
    return scaled_lr(config.lr_rule, config.run.lr, batch_size, config.lr_at or config.batch_sizes[0])
