"""How well a model does on every image of a loader."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from fastbs.config import Precision
from fastbs.data.batch import Loader
from fastbs.training.precision import autocast
from fastbs.training.world import ALONE, World


@dataclass(frozen=True)
class Accuracy:
    images: int
    loss: float  # mean over images
    top1: float  # fraction of images
    balanced_top1: float  # mean over classes of the fraction within each


@torch.no_grad()
def evaluate(
    model: nn.Module,
    loader: Loader,
    *,
    classes: int,
    precision: Precision,
    device: torch.device,
    world: World = ALONE,
) -> Accuracy:
    """One pass over the loaders of all ranks, every image once. Leaves the model in training mode."""
    world.take_buffers(model)
    model.eval()
    loss = torch.zeros((), device=device, dtype=torch.float64)
    seen = torch.zeros(classes, device=device, dtype=torch.int64)
    hit = torch.zeros(classes, device=device, dtype=torch.int64)
    for images, labels in loader:
        with autocast(precision, device):
            logits = model(images)
        loss += F.cross_entropy(logits.float(), labels, reduction="sum")
        seen += torch.bincount(labels, minlength=classes)
        hit += torch.bincount(labels[logits.argmax(1) == labels], minlength=classes)
    model.train()
    world.add_up(loss, seen, hit)
    total = int(seen.sum())
    within = (hit[seen > 0] / seen[seen > 0]).mean()
    return Accuracy(total, float(loss) / total, int(hit.sum()) / total, float(within))
