"""An exported net, ready to be called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fastbs.deployment.batch_range import BatchRange
from fastbs.deployment.engine_build import engine_library
from fastbs.deployment.engine_run import EngineCall
from fastbs.deployment.onnx_run import OnnxReferenceCall, OnnxRuntimeCall
from fastbs.deployment.to_onnx import MODEL
from fastbs.deployment.with_torch_tensorrt import PROGRAM, load_call
from fastbs.errors import BadInput
from fastbs.results.artifact_folder import ArtifactFolder
from fastbs.worker import Unsupported


@dataclass(frozen=True)
class Deployed:
    """`forward` maps images (B, 3, side, side) fp32 on `device`, NCHW, to logits (B, classes) fp32 there.

    B is a size that `batch` holds. On a GPU the work is queued on torch's current stream and not waited for.
    """

    name: str  # of what computes, with its version
    forward: Callable[[Tensor], Tensor]
    batch: BatchRange
    device: torch.device


def open_artifact(folder: Path, device: torch.device, threads: int) -> Deployed:
    """The artefact in `folder` as it is meant to run: an engine on a GPU, an ONNX file on a CPU with `threads` threads.

    Unsupported where it cannot be computed on `device`; BadInput where its files are not those that were exported.
    """
    artifact = ArtifactFolder(folder)
    document = artifact.read()
    if problems := artifact.wrong_files(document):
        raise BadInput(f"{folder}: {problems[0]}; export anew")
    batch = BatchRange.from_json(document["batch"])
    match document["to"]:
        case "onnx" if device.type == "cpu" and document["precision"] != "bf16":
            runtime = OnnxRuntimeCall(folder / MODEL, threads)
            return Deployed(runtime.name, runtime, batch, device)
        case "onnx" if device.type == "cpu":
            raise Unsupported("ONNX Runtime cannot compute in bf16 on a CPU; export fp16 or fp32 for one")
        case "onnx":
            raise Unsupported("an ONNX file is run on the CPU here; on a GPU take --to tensorrt or torch-tensorrt")
        case _ if device.type == "cpu":
            raise Unsupported(f"{document['to']} computes on NVIDIA GPUs only")
        case "torch-tensorrt":
            return Deployed(_version(document, "torch-tensorrt"), load_call(folder / PROGRAM), batch, device)
        case "tensorrt" | "tensorrt-rtx":
            library = engine_library(document["to"])
            engine = (folder / engine_for(document, torch.cuda.get_device_capability(device))).read_bytes()
            name = f"{document['to']} {library.__version__}"
            return Deployed(name, EngineCall(library, engine, batch), batch, device)
    raise BadInput(f"{artifact.document}: {document['to']!r} is not a kind of artefact that this version knows")


def open_graph(folder: Path, precision: str, batch: BatchRange, threads: int, *, rounding: bool = False) -> Deployed:
    """The ONNX file in `folder` on the CPU, in every precision: what an engine was built from, for checks.

    With `rounding`, by what rounds every result to the graph's format: ONNX Runtime computes fp16 layers in fp32.
    """
    model = folder / MODEL
    slow = rounding or precision == "bf16"
    call = OnnxReferenceCall(model) if slow else OnnxRuntimeCall(model, threads)
    return Deployed(call.name, call, batch, torch.device("cpu"))


def engine_for(document: dict[str, Any], capability: tuple[int, int]) -> str:
    """The file with the engine for a card of that compute capability; Unsupported where there is none."""
    here = ".".join(map(str, capability))
    engines = document["engines"]
    fitting = [engine["file"] for engine in engines if engine["compute_capability"] == here]
    if not fitting:
        built = ", ".join(engine["compute_capability"] for engine in engines)
        raise Unsupported(f"the engine is for compute capability {built}, this card has {here}; export anew on it")
    return str(fitting[0])


def _version(document: dict[str, Any], name: str) -> str:
    return f"{name} {document['versions'][name]}"
