"""The hyper-parameters of one batch size: all that a rule changed, all that it left, and where the rule ends."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastbs.analysis.arms import MAIN, planned_beta2, planned_lr, planned_weight_decay
from fastbs.config import SweepConfig

EPS = {"adamw": 1e-8}  # torch's default
NORM_MOMENTUM = {"batch": 0.1}  # torch's default, of BatchNorm's running statistics; other norms have none
WITHOUT_WARMUP = 8  # times the size at which the rate holds: the linear rule was shown with warm-up (Goyal et al. 2017)
LEAST_HALF_LIFE = 2  # updates over which AdamW's average of squares should forget half of itself


@dataclass(frozen=True)
class Card:
    """What a run at `batch_size` is given; None where the optimizer or the net has no such thing."""

    batch_size: int
    micro_batch: int  # images in one pass
    accumulation: int  # passes whose gradients make one update
    rule: str
    optimizer: str
    lr: float
    schedule: str
    warmup_images: int
    momentum: float  # of SGD, or AdamW's beta1
    beta2: float | None
    eps: float | None
    weight_decay: float
    norm_momentum: float | None
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "warnings": list(self.warnings)}


def make_card(config: SweepConfig, batch_size: int, norm: str | None, b_crit: float | None = None) -> Card:
    """The card of a main run. `norm` is what the net has; with `b_crit` (images) the rule's end is looked at too."""
    run = config.run.replace(batch_size=batch_size)
    adam, lr = run.optimizer == "adamw", planned_lr(config, MAIN, batch_size)
    return Card(
        batch_size=batch_size,
        micro_batch=run.pass_images,
        accumulation=run.accumulation,
        rule=config.lr_rule,
        optimizer=run.optimizer,
        lr=lr,
        schedule=run.schedule,
        warmup_images=run.warmup_images,
        momentum=run.momentum,
        beta2=planned_beta2(config, batch_size) if adam else None,
        eps=EPS.get(run.optimizer),
        weight_decay=planned_weight_decay(config, batch_size, lr),
        norm_momentum=NORM_MOMENTUM.get(norm or ""),
        warnings=tuple(_warnings(config, batch_size, b_crit)),
    )


def _warnings(config: SweepConfig, batch_size: int, b_crit: float | None) -> Iterator[str]:
    """Where the rule leaves the range in which it was shown to hold."""
    run, at = config.run, config.lr_at or config.batch_sizes[0]
    ratio, adam = batch_size / at, run.optimizer == "adamw"
    if config.lr_rule == "constant" and ratio != 1:
        yield f"the rate is that of batch {at}: size and rate are confounded"
    if config.lr_rule == "linear" and adam:
        yield "linear is a rule for SGD; for AdamW the root is usual"
    if config.lr_rule == "linear" and ratio > WITHOUT_WARMUP and not run.warmup_images:
        yield f"{ratio:g} times the rate of batch {at} without warm-up"
    if config.lr_rule in ("linear", "sqrt", "beta2-halflife") and b_crit is not None and batch_size > b_crit:
        yield f"beyond the critical batch size ({b_crit:,.0f}) the rate should grow more slowly than the rule says"
    if config.lr_rule == "sqrt" and adam and ratio * (1 - run.momentum) >= 1:
        yield f"at {ratio:g} times batch {at}, beta1 and beta2 cannot follow the rate any more"
    one_decay = config.weight_decay_rule == "constant" and config.lr_rule != "linear"
    if adam and run.weight_decay and one_decay and ratio != 1:
        yield f"weight decay of batch {at}; --weight-decay-rule timescale has decay x rate in proportion to batch size"
    if run.schedule != "constant" and b_crit is not None:
        yield f"under a {run.schedule} rate images to a target, and so B_crit, depend on the length of the run"
    if config.lr_rule == "beta2-halflife":
        beta2 = planned_beta2(config, batch_size)
        if beta2 < 0.5 ** (1 / LEAST_HALF_LIFE):
            half_life = math.log(0.5) / math.log(beta2) if beta2 > 0 else 0.0
            yield f"beta2 {beta2:.3g} forgets half within {half_life:.1f} updates"
