"""A net as an ONNX file with its weights beside it."""

from __future__ import annotations

from pathlib import Path

import torch

from fastbs.deployment.batch_range import BatchRange
from fastbs.deployment.library import need
from fastbs.deployment.numerics import InPrecision
from fastbs.deployment.tracing import trace
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
        trace(net, side, batch),
        dynamo=True,
        opset_version=OPSET,
        input_names=[INPUT],
        output_names=[OUTPUT],
        verbose=False,
    )
    assert program is not None  # of the dynamo exporter, when no file is named
    program.save(folder / MODEL, external_data=True)
    try:
        onnx.checker.check_model(folder / MODEL, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise Unsupported(f"the net cannot be written as ONNX: {error}") from error


def weight_formats(model: Path) -> set[str]:
    """The precisions of the weights with several dimensions in an ONNX file; what is none of ours as ONNX calls it."""
    onnx = need("onnx", "deploy")
    kinds = onnx.TensorProto
    names = {kinds.FLOAT: "fp32", kinds.FLOAT16: "fp16", kinds.BFLOAT16: "bf16"}
    graph = onnx.load(str(model), load_external_data=False).graph
    found = {weight.data_type for weight in graph.initializer if len(weight.dims) > 1}
    return {names.get(kind, kinds.DataType.Name(kind).lower()) for kind in found}
