"""In which number format a step computes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from fastbs.config import Precision
from fastbs.errors import BadInput


def default_precision(device: torch.device) -> Precision:
    """bf16 where the machine computes in it, otherwise fp32."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"


def batch_dtype(precision: Precision) -> torch.dtype:
    """The format in which loaders hand images to the net."""
    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Weights stay fp32; convolutions and matrix products compute in the low format."""
    if precision in ("fp32", "tf32"):
        return nullcontext()
    return torch.autocast(device.type, dtype=batch_dtype(precision))


def set_up(precision: Precision, device: torch.device) -> None:
    """Process-wide switches: TF32 only when asked for, cuDNN measuring its algorithms because shapes are fixed."""
    if precision == "tf32" and device.type != "cuda":
        raise BadInput("precision: tf32 is a format of NVIDIA GPUs; use fp32 or bf16 on a CPU")
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True
