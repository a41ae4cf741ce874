"""timm's models by name."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from torch import nn

from fastbs.errors import BadInput


def timm_model(name: str, *, classes: int, image_size: int, pretrained: bool) -> nn.Module:
    """timm.create_model with a classifier for `classes`; BadInput if timm, the name or the weights are missing."""
    try:
        import timm
    except ImportError as error:
        raise BadInput(f"model: timm:{name} needs timm ({error}); pip install 'fastbs[peers]'") from error
    architecture = name.partition(".")[0]  # what follows names weights
    if not name.startswith("hf-hub:") and not timm.is_model(architecture):
        close = get_close_matches(architecture, timm.list_models(), n=3, cutoff=0.5)
        nearest = f"; close: {', '.join(f'timm:{match}' for match in close)}" if close else ""
        raise BadInput(f"model: timm:{name} is not known to timm {timm.__version__}{nearest}")
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=classes, **_size(timm, name, image_size))
    except Exception as error:  # whatever timm says about this name, it is about the user's choice
        one_line = " ".join(f"{type(error).__name__}: {error}".split())
        raise BadInput(f"model: timm:{name} cannot be built: {one_line}") from error


def _size(timm: Any, name: str, image_size: int) -> dict[str, Any]:
    """Nets that are made for one size of image are told which."""
    known = timm.get_pretrained_cfg(name, allow_unregistered=True)
    return {"img_size": image_size} if known is not None and known.fixed_input_size else {}
