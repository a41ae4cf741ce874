"""An engine of TensorRT, or of TensorRT-RTX, called with torch tensors on a GPU."""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor

from fastbs.deployment.batch_range import BatchRange
from fastbs.deployment.engine_build import make_log
from fastbs.deployment.to_onnx import INPUT, OUTPUT


class EngineCall:
    """images (B, 3, side, side) fp32 on the card -> logits (B, classes) fp32, queued on torch's current stream."""

    def __init__(self, library: ModuleType, engine: bytes, batch: BatchRange) -> None:
        """RuntimeError, in the library's words, where it cannot load the engine: damaged, or of another version."""
        self._log = make_log(library)  # the library holds no reference of its own
        self._runtime = library.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(engine)
        if self._engine is None:  # the only sign that it gives
            raise RuntimeError(f"the library cannot load the engine: {self._log.last or 'it does not say why'}")
        self._context = self._engine.create_execution_context()
        self._shapes = batch.shapes()
        self._profile: int | None = None

    def __call__(self, images: Tensor) -> Tensor:
        images = images.contiguous()
        stream = torch.cuda.current_stream(images.device).cuda_stream
        size = len(images)
        profile = next(index for index, (low, _, high) in enumerate(self._shapes) if low <= size <= high)
        if profile != self._profile:
            self._must(self._context.set_optimization_profile_async(profile, stream))
            self._profile = profile
        self._must(self._context.set_input_shape(INPUT, tuple(images.shape)))
        logits = torch.empty(tuple(self._context.get_tensor_shape(OUTPUT)), device=images.device, dtype=torch.float32)
        self._must(self._context.set_tensor_address(INPUT, images.data_ptr()))
        self._must(self._context.set_tensor_address(OUTPUT, logits.data_ptr()))
        self._must(self._context.execute_async_v3(stream))
        return logits

    def _must(self, done: bool) -> None:
        if not done:
            raise RuntimeError(f"the engine refused: {self._log.last or 'the library does not say why'}")
