"""Weights from a file into a net that may have other classes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fastbs.errors import BadInput

log = logging.getLogger(__name__)
AUXILIARY = "AuxLogits."  # torchvision's Inception file has this head; ours does not
COUNTER = "num_batches_tracked"  # absent from older files, and decides nothing


def load_weights(model: nn.Module, path: str | Path, *, classes: int) -> None:
    """Start from the weights in `path`: a state_dict, or a checkpoint of ours ({"model": state_dict, ...}).

    A classifier with another number of classes stays fresh, which is logged. Any other difference between file and net
    is BadInput with the first key at fault. Nothing in the file is executed (`weights_only`).
    """
    found, wanted = _read(Path(path)), model.state_dict()
    found = {key: value for key, value in found.items() if key in wanted or not key.startswith(AUXILIARY)}
    classifier = _classifier(model, classes)
    fresh = [key for key in found if key in wanted and key.rpartition(".")[0] == classifier]
    fresh = fresh if any(found[key].shape != wanted[key].shape for key in fresh) else []
    for key, value in wanted.items():
        if key not in found:
            if not key.endswith(COUNTER):
                raise BadInput(f"init: {path}: has no {key}; it holds weights of another model")
        elif found[key].shape != value.shape and not (key in fresh and found[key].shape[1:] == value.shape[1:]):
            raise BadInput(
                f"init: {path}: {key} is {_shape(found[key])} there and {_shape(value)} here;"
                " model, norm and image-size must be those of the file"
            )
    for key in found:
        if key not in wanted:
            raise BadInput(f"init: {path}: has {key}, which the model has not; it holds weights of another model")
    if fresh:
        log.warning("%s: %d classes there, %d here: %s starts fresh", path, len(found[fresh[0]]), classes, classifier)
    model.load_state_dict({key: value for key, value in found.items() if key not in fresh}, strict=False)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise BadInput(f"init: {path}: no such file") from error
    except Exception as error:  # torch.load raises many kinds for files that are not its own
        raise BadInput(f"init: {path}: not a readable weight file ({type(error).__name__})") from error
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        content = content["model"]
    if not isinstance(content, dict) or not content or not all(isinstance(x, Tensor) for x in content.values()):
        raise BadInput(f"init: {path}: holds no state_dict; save one with torch.save(model.state_dict(), FILE)")
    return content


def _classifier(model: nn.Module, classes: int) -> str | None:
    """The last linear layer with an output for each class."""
    linear = [name for name, m in model.named_modules() if isinstance(m, nn.Linear) and m.out_features == classes]
    return linear[-1] if linear else None


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"
