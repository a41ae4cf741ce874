"""The net that a finished run has trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fastbs import models
from fastbs.config import RunConfig
from fastbs.errors import BadInput
from fastbs.results.artifact_folder import sha256
from fastbs.results.files import read_json
from fastbs.results.run_folder import RunFolder
from fastbs.training import checkpoint


@dataclass(frozen=True)
class TrainedNet:
    """`net` maps images (B, 3, side, side) to logits (B, classes); it is in evaluation mode, in fp32, on a CPU."""

    net: nn.Module
    run: RunConfig
    document: dict[str, Any]  # run.json
    classes: tuple[str, ...]
    checkpoint_sha256: str
    top1: float | None  # of the run's last evaluation, in the precision it trained in

    @property
    def side(self) -> int:
        """Of the images, pixels."""
        return self.run.image_size or 0


def load_trained(folder: Path) -> TrainedNet:
    """The net of a run that has ended with weights worth having; BadInput says why it has not."""
    records = RunFolder(folder)
    if not records.document.exists():
        raise BadInput(f"{folder}: no run of fastbs; name the folder of a run or a sweep")
    document = read_json(records.document, "run")
    if document["status"] not in ("ok", "missed", "stopped"):
        why = f": {document['reason']}" if document["reason"] else ""
        why += ", or was cut off: the command that began it continues it" if document["status"] == "running" else ""
        raise BadInput(f"{folder}: the run is {document['status']}{why}; there is no trained net to export")
    run = RunConfig.from_json(document["config"])
    state = checkpoint.load(records.checkpoint, torch.device("cpu"))
    classes = tuple(state["classes"])
    net = models.build(run.model, classes=len(classes), image_size=run.image_size or 0, norm=run.norm)
    try:
        net.load_state_dict(state["model"])
    except RuntimeError as error:
        raise BadInput(
            f"{records.checkpoint}: not the weights of {run.model} ({' '.join(str(error).split())})"
        ) from error
    evaluations = records.evaluations()
    top1 = evaluations[-1].top1 if evaluations else None
    return TrainedNet(net.eval(), run, document, classes, sha256(records.checkpoint), top1)
