"""From a name to a net."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

from torch import nn

from fastbs.errors import BadInput
from fastbs.models.inception import inception_v3
from fastbs.models.named_timm import timm_model
from fastbs.models.own_function import own_model
from fastbs.models.resnet import resnet18, resnet50
from fastbs.models.small import small
from fastbs.models.weights import load_weights

# name -> builder and the normalisation it has unless asked otherwise
OURS: dict[str, tuple[Callable[..., nn.Module], str]] = {
    "small": (small, "group"),
    "resnet18": (resnet18, "batch"),
    "resnet50": (resnet50, "batch"),
    "inception_v3": (inception_v3, "batch"),
}


def build(
    name: str,
    *,
    classes: int,
    image_size: int,
    norm: str | None = None,
    pretrained: bool = False,
    init: str | None = None,
) -> nn.Module:
    """A net from images (B, 3, image_size, image_size) to logits (B, classes), on the CPU, in fp32, in training mode.

    `name` is one of ours, timm:NAME, or module:function for the user's own (called with classes and image_size).
    `norm` (group, batch, none) can be asked of ours only; None is the net's own. `pretrained` weights come with timm's
    nets; `init` is a file to start from. Weights are drawn from torch's global generator. BadInput names the field at
    fault: model, norm, pretrained, init or image-size.
    """
    if pretrained and not name.startswith("timm:"):
        raise BadInput(f"pretrained: {name} brings no weights; take timm:NAME, or give a file with --init")
    if norm is not None and name not in OURS and ":" in name:
        raise BadInput(f"norm: {name} decides its normalisation itself; only {', '.join(OURS)} can be asked for one")
    if name in OURS:
        builder, own_norm = OURS[name]
        model = builder(classes=classes, image_size=image_size, norm=own_norm if norm is None else norm)
    elif name.startswith("timm:"):
        model = timm_model(name.removeprefix("timm:"), classes=classes, image_size=image_size, pretrained=pretrained)
    elif ":" in name:
        model = own_model(name, classes=classes, image_size=image_size)
    else:
        close = get_close_matches(name, OURS, n=1)
        meant = f"did you mean {close[0]}? " if close else ""
        raise BadInput(f"model: {name!r} is unknown; {meant}known: {', '.join(OURS)}, timm:NAME, module:function")
    if init is not None:
        load_weights(model, init, classes=classes)
    return model
