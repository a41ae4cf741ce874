"""A net compiled by Torch-TensorRT: TensorRT engines inside a torch program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fastbs.deployment.batch_range import BatchRange
from fastbs.deployment.library import need
from fastbs.deployment.numerics import InPrecision
from fastbs.deployment.to_onnx import INPUT
from fastbs.deployment.tracing import trace
from fastbs.errors import BadInput
from fastbs.worker import Unsupported

PROGRAM = "model.pt2"


def compile_arguments(cache: Path) -> dict[str, Any]:
    """Keyword arguments of torch_tensorrt.dynamo.compile, the same for versions 2.11 to 2.14.

    The whole graph or nothing: parts left to torch would be measured as if they were the engine's. Number formats are
    those of the graph, which is every version's default (`enabled_precisions` and `use_explicit_typing` are gone from
    2.13 on). Only engines whose weights can be replaced are taken from a cache, so that the runs of a sweep share one.
    """
    return {
        "require_full_compilation": True,
        "min_block_size": 1,
        "pass_through_build_failures": True,
        "disable_tf32": True,
        "immutable_weights": False,
        "cache_built_engines": True,
        "reuse_cached_engines": True,
        "engine_cache_dir": str(cache / "torch-tensorrt"),
        "timing_cache_path": str(cache / "torch-tensorrt.timing"),
    }


def compile_and_save(net: InPrecision, side: int, batch: BatchRange, folder: Path, cache: Path) -> None:
    """model.pt2 in `folder`, an exported program for the card that is here. BadInput without library or card."""
    if batch.each:
        raise BadInput("profiles: torch-tensorrt builds one profile for all sizes; take --to tensorrt for one per size")
    torch_tensorrt = load_library()
    program = trace(net.to("cuda"), side, batch)
    shapes = [(size, 3, side, side) for size in (batch.min, batch.opt, batch.max)]
    images = torch_tensorrt.Input(
        min_shape=shapes[0], opt_shape=shapes[1], max_shape=shapes[2], dtype=torch.float32, name=INPUT
    )
    try:
        compiled = torch_tensorrt.dynamo.compile(program, inputs=[images], **compile_arguments(cache))
    except Exception as error:  # its builders raise whatever failed inside
        raise Unsupported(f"torch_tensorrt cannot compile the net: {type(error).__name__}: {error}") from error
    torch_tensorrt.save(compiled, str(folder / PROGRAM), output_format="exported_program", arg_inputs=[images])


def load_call(file: Path) -> Any:
    """The saved program as a callable: images (B, 3, side, side) fp32 on the card -> logits (B, classes) fp32."""
    module = load_library().load(str(file)).module()

    def call(images: Tensor) -> Tensor:
        logits: Tensor = module(images)
        return logits

    return call


def load_library() -> Any:
    """torch_tensorrt; BadInput where it is not installed, cannot be loaded, or has no card to compile for."""
    library = need("torch_tensorrt", "tensorrt")
    if not torch.cuda.is_available():
        raise Unsupported("torch_tensorrt needs an NVIDIA GPU, and there is none here")
    return library
