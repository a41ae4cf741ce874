"""The software, from the kernel to torch."""

from __future__ import annotations

import os
import platform
from typing import Any

import fastbs
from fastbs.measurement.libraries import library_versions
from fastbs.measurement.source_tree import source_tree

VISIBLE = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES")
CONTAINER = ("NVIDIA_PYTORCH_VERSION", "NVIDIA_BUILD_ID")


def software(torch: Any | None) -> dict[str, Any]:
    """os, kernel, python, fastbs, source (commit, dirty), libraries (name -> version), cuda, cudnn, nccl (of torch's
    build), tf32_matmul, tf32_cudnn, cudnn_benchmark (torch's switches at this moment), container (what NVIDIA's images
    say of themselves), environment (which GPUs are visible).
    """
    return {
        "os": _os(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "fastbs": fastbs.__version__,
        "source": source_tree(),
        "libraries": library_versions(),
        **_torch(torch),
        "container": {name: os.environ.get(name) for name in CONTAINER},
        "environment": {name: os.environ.get(name) for name in VISIBLE},
    }


def _os() -> str | None:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system() or None


def _torch(torch: Any | None) -> dict[str, Any]:
    keys = ("cuda", "cudnn", "nccl", "tf32_matmul", "tf32_cudnn", "cudnn_benchmark")
    if torch is None:
        return dict.fromkeys(keys)
    nccl = (
        torch.cuda.nccl.version()
        if torch.distributed.is_available() and torch.distributed.is_nccl_available()
        else None
    )
    values = (
        torch.version.cuda,
        torch.backends.cudnn.version(),
        None if nccl is None else ".".join(map(str, nccl)),
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.benchmark,
    )
    return dict(zip(keys, values, strict=True))
