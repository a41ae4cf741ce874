"""Where our kernels run, and in which number formats."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch


def kernel_runs_on(device: torch.device) -> bool:
    """Whether our kernels run there: on GPUs, where Triton is installed."""
    return device.type == "cuda" and importlib.util.find_spec("triton") is not None


def is_captured(device: torch.device) -> bool:
    """Whether what is launched there now goes into a graph, to run at each of its replays."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def triton_format(dtype: torch.dtype) -> Any:
    """Triton's name of a format that our kernels read and write: fp32, bf16 or fp16."""
    import triton.language as tl

    return {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}[dtype]
