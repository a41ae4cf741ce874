"""The precision that an exported net computes in is part of its graph: batch norms folded away, weights rounded."""

from __future__ import annotations

import copy
import logging
from typing import Literal

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.nn.modules.batchnorm import _BatchNorm

from fastbs.worker import Unsupported

log = logging.getLogger(__name__)
ExportPrecision = Literal["fp32", "fp16", "bf16"]
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class InPrecision(nn.Module):
    """`net` with fp32 images in and fp32 logits out, whatever it computes in."""

    def __init__(self, net: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.net = net
        self.dtype = dtype

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net(images.to(self.dtype))
        return logits.float()


def in_precision(net: nn.Module, precision: ExportPrecision) -> InPrecision:
    """A copy of `net` (evaluation mode) whose weights and activations are of that format.

    Batch norms that follow a convolution are folded into it first, in fp32: rounded apart they would lose more, and
    bf16 graphs that still have them are refused by the parsers. Unsupported where a weight does not fit the format.
    """
    dtype = DTYPES[precision]
    folded = fold_batch_norms(net)
    largest = torch.finfo(dtype).max
    for name, weight in folded.state_dict().items():
        if weight.is_floating_point() and (found := float(weight.abs().max()) if weight.numel() else 0.0) > largest:
            raise Unsupported(f"{precision}: {name} reaches {found:.3g}, beyond {largest:g}; use bf16 or fp32")
    return InPrecision(folded.to(dtype), dtype).eval()


def fold_batch_norms(net: nn.Module) -> nn.Module:
    """A copy with every batch norm folded into the convolution before it; a plain copy where the net cannot be traced.

    Tracing fails on nets whose forward looks at values; those are exported as they are, which is logged.
    """
    if not any(isinstance(module, _BatchNorm) for module in net.modules()):
        return copy.deepcopy(net)
    try:
        folded: nn.Module = fuse(net)
    except Exception as error:  # a net's own code, called with stand-ins, may raise anything
        log.warning("batch norms are not folded: %s: %s", type(error).__name__, error)
        return copy.deepcopy(net)
    return folded
