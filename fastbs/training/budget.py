"""How many updates a run makes, and after how many of them it looks at the validation set."""

from __future__ import annotations

from fastbs.config import RunConfig


def updates_per_epoch(train_images: int, batch_size: int) -> int:
    """Whole batches in the training set: the last partial one is dropped."""
    return train_images // batch_size


def total_updates(run: RunConfig, train_images: int) -> int:
    """`updates` where it was given, else `epochs` passes; at least one."""
    return run.updates or max(1, round(run.epochs * updates_per_epoch(train_images, run.batch_size)))


def evaluation_every(run: RunConfig) -> int:
    """Updates between evaluations: `eval_images` training images, to the nearest whole batch."""
    return max(1, round((run.eval_images or run.batch_size) / run.batch_size))
