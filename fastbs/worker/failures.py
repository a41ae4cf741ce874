"""What an exception or a signal means: out of memory, unsupported, bad input, or a failure."""

from __future__ import annotations

import signal
from typing import Any

from fastbs.errors import BadInput
from fastbs.results.files import is_storage_error
from fastbs.worker.outcome import OtherRankLost, Unsupported

# What libraries say when memory runs out; some CUDA libraries fail to allocate without torch's own exception.
OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "bad_alloc",
    "std::bad_array_new_length",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUSOLVER_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(text: str) -> bool:
    lowered = text.lower()
    return any(sign.lower() in lowered for sign in OUT_OF_MEMORY)


def of_exception(error: BaseException) -> dict[str, Any]:
    """status, reason and bad_input of an exception that left the target."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, BadInput) or is_storage_error(error):
        return {"status": "failed", "reason": text, "bad_input": True}
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("fastbs"):
        text = f"{error.name}: not installed; pip install 'fastbs[cuda12]' brings what training needs"
        return {"status": "failed", "reason": text, "bad_input": True}
    if isinstance(error, OtherRankLost):
        return {"status": "failed", "reason": _short(text), "other_rank_lost": True}
    if isinstance(error, Unsupported):
        return {"status": "unsupported", "reason": text}
    if isinstance(error, MemoryError) or is_out_of_memory(text):
        return {"status": "oom", "reason": _short(text)}
    return {"status": "failed", "reason": _short(f"{type(error).__name__}: {text}")}


def of_exit(returncode: int, log_tail: str, kernel_oom: bool) -> dict[str, Any]:
    """status and reason of a process that ended without a word."""
    if kernel_oom:
        return {"status": "oom", "reason": "killed by the kernel: the memory limit was reached"}
    if is_out_of_memory(log_tail):
        return {"status": "oom", "reason": _short(log_tail.strip().splitlines()[-1])}
    if returncode < 0:
        return {"status": "failed", "reason": f"ended by {signal.Signals(-returncode).name}"}
    return {"status": "failed", "reason": f"ended with exit code {returncode} without a result"}


def _short(text: str) -> str:
    return text if len(text) <= 300 else text[:299] + "…"
