"""What the runs of a sweep set out to do: learning rate and updates of each arm at each batch size."""

from __future__ import annotations

from fastbs.analysis.budget import total_updates
from fastbs.analysis.learning_rate import scaled_lr
from fastbs.config import SweepConfig

MAIN, SAME_UPDATES, SCALED_LR = "main", "same-updates", "scaled-lr"


def planned_lr(config: SweepConfig, arm: str, batch_size: int) -> float:
    """Main runs and the same updates: by the sweep's rule. The scaled rate: that of the smallest size x B/B0."""
    smallest = config.batch_sizes[0]
    at = config.lr_at or smallest
    if arm == SCALED_LR:
        return scaled_lr(config.lr_rule, config.run.lr, smallest, at) * batch_size / smallest
    return scaled_lr(config.lr_rule, config.run.lr, batch_size, at)


def planned_updates(config: SweepConfig, arm: str, batch_size: int, train_images: int) -> int:
    """By the budget of the run; the same updates: as many as the smallest size makes."""
    size = config.batch_sizes[0] if arm == SAME_UPDATES else batch_size
    return total_updates(config.run.replace(batch_size=size), train_images)
