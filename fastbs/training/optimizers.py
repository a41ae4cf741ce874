"""The optimizer of a run, and the rate they get at each point of a run."""

from __future__ import annotations

import math

import torch
from torch import nn

from fastbs.config import RunConfig
from fastbs.kernels import FusedAdamW, FusedSGD


def make_optimizer(model: nn.Module, config: RunConfig) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum or AdamW; weight decay spares tensors below 2 dimensions (biases, norms)."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    spared = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": spared, "weight_decay": 0.0}]
    groups = groups if config.weight_decay else [{"params": decayed + spared, "weight_decay": 0.0}]
    on_cpu = next(model.parameters()).device.type == "cpu"  # where ours call the same routines, and start sooner
    lr, momentum = config.lr, config.momentum
    if config.optimizer == "adamw":
        betas = momentum, config.beta2
        return FusedAdamW(groups, lr, betas) if on_cpu else torch.optim.AdamW(groups, lr, betas, fused=True)
    if on_cpu:
        return FusedSGD(groups, lr, momentum, nesterov=momentum > 0)
    return torch.optim.SGD(groups, lr, momentum, nesterov=momentum > 0, fused=True)


def lr_at(config: RunConfig, images: int, total_images: int) -> float:
    """The rate of the update that starts after `images` training images.

    Warm-up is linear and reaches the full rate with the update that completes it; cosine and linear schedules go from
    the full rate to zero over what remains. All of it is counted in images, so that batch sizes differ in nothing else.
    """
    if images < config.warmup_images:
        return config.lr * min(1.0, (images + config.batch_size) / config.warmup_images)
    progress = (images - config.warmup_images) / max(1, total_images - config.warmup_images)
    if config.schedule == "cosine":
        return config.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    if config.schedule == "linear":
        return config.lr * max(0.0, 1 - progress)
    return config.lr
