"""Weights to start from: He's normal, which keeps the size of activations from layer to layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


def initialise(model: nn.Module, last_of_branches: Sequence[nn.Conv2d] = ()) -> None:
    """Draw all convolutions from N(0, 2 / fan_in) (He et al. 2015, arXiv:1502.01852) and set their biases to zero.

    fan_in, because a net without normalisation then starts with logits of the usual size (fan_out: 24 times that for
    Inception v3). Such a net still doubles its variance with every residual block: the last convolutions of its L
    branches, where given, are scaled by 1/sqrt(L), which bounds the growth by e.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    with torch.no_grad():
        for layer in last_of_branches:
            layer.weight.mul_(len(last_of_branches) ** -0.5)
