"""A net as an ONNX file with its weights beside it."""

from __future__ import annotations

from pathlib import Path

import torch

from fastbs.deployment.batch_range import BatchRange
from fastbs.deployment.library import need
from fastbs.deployment.numerics import InPrecision
from fastbs.worker import Unsupported

OPSET = 22  # the first in which convolutions take bf16
INPUT, OUTPUT = "images", "logits"
MODEL = "model.onnx"


def write_onnx(net: InPrecision, side: int, batch: BatchRange, folder: Path) -> None:
    """model.onnx and model.onnx.data in `folder`: images (batch, 3, side, side) fp32 -> logits (batch, classes) fp32.

    The batch is open unless only one size is asked for. The file is held against ONNX's own checker, types included;
    Unsupported says what it does not allow. BadInput without onnx and onnxscript.
    """
    onnx = need("onnx", "deploy")
    need("onnxscript", "deploy")
    program = torch.onnx.export(
        net,
        (example(side, batch),),
        dynamo=True,
        opset_version=OPSET,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=dynamic_shapes(batch),
        verbose=False,
    )
    assert program is not None  # of the dynamo exporter, when no file is named
    program.save(folder / MODEL, external_data=True)
    try:
        onnx.checker.check_model(folder / MODEL, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise Unsupported(f"the net cannot be written as ONNX: {error}") from error


def example(side: int, batch: BatchRange) -> torch.Tensor:
    """Images to trace with. Never one where there may be more: torch.export would take the 1 for a constant."""
    return torch.zeros(min(max(2, batch.min), batch.max), 3, side, side)


def dynamic_shapes(batch: BatchRange) -> dict[str, dict[int, torch.export.Dim]]:
    """As torch.export wants them: the batch, if it is open."""
    return {INPUT: {0: torch.export.Dim("batch", min=batch.min, max=batch.max)} if batch.min < batch.max else {}}
