"""The precision that an exported net computes in is part of its graph: batch norms folded away, weights rounded."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn

from fastbs.deployment.batch_range import BatchRange
from fastbs.deployment.folding import fold_batch_norms
from fastbs.worker import Unsupported

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


def in_precision(net: nn.Module, precision: ExportPrecision, side: int, batch: BatchRange) -> InPrecision:
    """A copy of `net` (evaluation mode) for images (batch, 3, side, side), with weights and activations of that format.

    Batch norms that follow a convolution are folded into it first, in fp32: rounded apart they would lose more, and
    bf16 graphs that still have them are refused by the parsers. Unsupported where the net cannot be traced, a weight is
    not finite, or one does not fit the format.
    """
    dtype = DTYPES[precision]
    folded = fold_batch_norms(copy.deepcopy(net), side, batch)
    largest = torch.finfo(dtype).max
    for name, weight in folded.state_dict().items():
        if not weight.is_floating_point() or not weight.numel():
            continue
        if not weight.isfinite().all():
            raise Unsupported(f"{name} of the trained net is not finite; nothing can be deployed")
        if (found := float(weight.abs().max())) > largest:
            raise Unsupported(f"{precision}: {name} reaches {found:.3g}, beyond {largest:g}; use bf16 or fp32")
    return InPrecision(folded.to(dtype), dtype)
