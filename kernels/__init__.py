"""Kernels for the weight update and for augmentation, each beside its reference in plain torch.

`FusedSGD` and `FusedAdamW` stand in for torch's optimizers. Triton is imported where a kernel is launched, so that all
but the kernels works without it.
"""

from __future__ import annotations

from fastbs.kernels.fused_adamw import FusedAdamW
from fastbs.kernels.fused_sgd import FusedSGD

__all__ = ["FusedAdamW", "FusedSGD"]
