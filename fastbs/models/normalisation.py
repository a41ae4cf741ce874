"""Normalisation layers: which a net is built with, which it has, and when one cannot train."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from fastbs.errors import BadInput

NORMS = ("group", "batch", "none")
MOST_GROUPS = 8
_KINDS: dict[str, type[nn.Module]] = {
    "batch": _BatchNorm,
    "group": nn.GroupNorm,
    "layer": nn.LayerNorm,
    "rms": nn.RMSNorm,
    "instance": nn.modules.instancenorm._InstanceNorm,
}


def norm_layer(norm: str, eps: float = 1e-5) -> Callable[[int], nn.Module]:
    """A function channels -> layer. GroupNorm has as many groups as divide the channels and 8; "none" does nothing.

    Convolutions before "none" need a bias of their own (`has_bias`): the layers give one otherwise.
    """
    if norm not in NORMS:
        raise BadInput(f"norm: {norm!r} is unknown; known: {', '.join(NORMS)}")
    if norm == "batch":
        return lambda channels: nn.BatchNorm2d(channels, eps=eps)
    if norm == "group":
        return lambda channels: nn.GroupNorm(math.gcd(MOST_GROUPS, channels), channels, eps=eps)
    return lambda channels: nn.Identity()


def has_bias(norm: str) -> bool:
    """Whether a convolution followed by this normalisation keeps its own bias."""
    return norm == "none"


def norm_of(model: nn.Module) -> str:
    """What the net really has: "batch", "group", "layer", "rms", "instance", several joined by "+", or "none".

    Only torch's layers and their subclasses are seen; a net that normalises in a layer of its own counts as "none".
    """
    layers = list(model.modules())
    return "+".join(name for name, kind in _KINDS.items() if any(isinstance(x, kind) for x in layers)) or "none"


def unsupported_reason(error: Exception) -> str | None:
    """Why this net cannot train at this batch size, if `error` is torch's refusal to normalise single values.

    In training, a layer that averages over the images and pixels of a channel needs two values: torch raises
    ValueError for one image of 1x1 pixels. None for every other error.
    """
    found = re.search(r"Expected more than 1 value per channel when training, got input size (.*)", str(error))
    if not isinstance(error, ValueError) or not found:
        return None
    shape = "x".join(re.findall(r"\d+", found.group(1)))
    return f"normalisation over a single value per channel (layer input {shape}); a larger batch or norm group can"
