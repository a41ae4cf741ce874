"""An ONNX file called with torch tensors on a CPU."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from fastbs.deployment.library import need
from fastbs.deployment.to_onnx import INPUT


class OnnxRuntimeCall:
    """images (B, 3, side, side) fp32 -> logits (B, classes) fp32, by ONNX Runtime on `threads` threads.

    ONNX Runtime has no fp16 arithmetic on most CPUs: it computes such layers in fp32 and rounds only
    weights: what overflows in fp16 does not here.
    """

    def __init__(self, model: Path, threads: int) -> None:
        runtime = need("onnxruntime", "deploy")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self.name = f"onnxruntime {runtime.__version__} on the CPU"

    def __call__(self, images: Tensor) -> Tensor:
        (logits,) = self._session.run(None, {INPUT: images.contiguous().numpy()})
        return torch.from_numpy(logits)


class OnnxReferenceCall:
    """The same by ONNX's reference evaluator: slow plain numpy, but the only one that rounds every result on a CPU."""

    def __init__(self, model: Path) -> None:
        need("onnx", "deploy")
        from onnx import __version__
        from onnx.reference import ReferenceEvaluator

        self._evaluator = ReferenceEvaluator(str(model))
        self.name = f"onnx {__version__} reference evaluator"

    def __call__(self, images: Tensor) -> Tensor:
        (logits,) = self._evaluator.run(None, {INPUT: images.contiguous().numpy()})
        return torch.from_numpy(logits)
