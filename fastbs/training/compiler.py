"""Whether torch.compile can work here."""

from __future__ import annotations

import torch


def why_no_compiler(device: torch.device) -> str | None:
    """None where torch.compile has what it needs on this device, otherwise what is wrong and the way out."""
    if device.type != "cpu":
        return None
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    if " " in torch.__file__:
        return f"torch's compiler for CPUs fails where torch lies at a path with a space ({torch.__file__})"
    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return "torch's compiler for CPUs needs a C++ compiler; install g++ or name one in CXX"
    return None
