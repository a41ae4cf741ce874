"""The learning rate at a size that nobody trained at."""

from __future__ import annotations

import math
from bisect import bisect
from dataclasses import replace

from fastbs.analysis.arms import MAIN, planned_lr
from fastbs.analysis.learning_rate import scaled_lr
from fastbs.config import LrRule, SweepConfig


def with_rate(config: SweepConfig, batch_size: int, rule: LrRule) -> SweepConfig:
    """`config` with `batch_size` among its sizes, its rate by `rule`.

    Rates that were given or tuned are joined by straight lines in logarithms, and go on beyond their ends by the usual
    rule of the optimizer.
    """
    at = config.lr_at or config.batch_sizes[0]
    sizes = tuple(sorted({*config.batch_sizes, batch_size}))
    if rule not in ("given", "tuned"):
        return replace(config, batch_sizes=sizes, lr_rule=rule, lr_at=at, lrs=(), control_at=None)
    rates = tuple((size, between(config, size)) for size in sizes)
    return replace(config, batch_sizes=sizes, lr_at=at, lrs=rates, control_at=None)


def rate_at(config: SweepConfig, batch_size: int, rule: LrRule) -> float:
    return planned_lr(with_rate(config, batch_size, rule), MAIN, batch_size)


def between(config: SweepConfig, batch_size: int) -> float:
    known = {size: planned_lr(config, MAIN, size) for size in config.batch_sizes}
    sizes = sorted(known)
    if batch_size in known:
        return known[batch_size]
    if not sizes[0] < batch_size < sizes[-1]:
        end = sizes[0] if batch_size < sizes[0] else sizes[-1]
        return scaled_lr("sqrt" if config.run.optimizer == "adamw" else "linear", known[end], batch_size, end)
    below, above = sizes[bisect(sizes, batch_size) - 1], sizes[bisect(sizes, batch_size)]
    share = math.log(batch_size / below) / math.log(above / below)
    return float(known[below] * (known[above] / known[below]) ** share)
