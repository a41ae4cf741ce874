"""How many updates a run makes, and after how many of them it looks at the validation set."""

from __future__ import annotations

from fastbs.config import RunConfig


def total_updates(run: RunConfig, train_images: int) -> int:
    """`updates` where it was given, else `epochs` passes over the whole batches (a partial one is dropped)."""
    return run.updates or max(1, round(run.epochs * (train_images // run.batch_size)))


def evaluation_every(run: RunConfig) -> int:
    """Updates between evaluations: the whole batches in `eval_images` training images; once an epoch if that is all."""
    return max(1, (run.eval_images or run.batch_size) // run.batch_size)
