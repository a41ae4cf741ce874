"""What an artefact says of the run it came from: written by export, compared by check."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastbs.data.preprocessing import preprocessing
from fastbs.deployment.to_onnx import INPUT, OUTPUT
from fastbs.deployment.trained_net import TrainedNet

LIBRARIES = ("torch", "onnx", "onnxscript", "torch-tensorrt", "tensorrt", "tensorrt-rtx")


def facts_of(trained: TrainedNet) -> dict[str, dict[str, Any]]:
    """The blocks run, dataset, preprocessing, input and output of artifact.json."""
    return {
        "run": {
            "id": trained.document["id"],
            "arm": trained.document["arm"],
            "batch_size": trained.run.batch_size,
            "seed": trained.run.seed,
            "model": trained.run.model,
            "norm": trained.run.norm,
            "classes": len(trained.classes),
            "image_size": trained.side,
            "parameters": sum(weight.numel() for weight in trained.net.parameters()),
            "precision": trained.run.precision,
            "top1": trained.top1,
            "checkpoint_sha256": trained.checkpoint_sha256,
        },
        "dataset": trained.document["dataset"],
        "preprocessing": preprocessing(trained.classes, trained.side),
        "input": {"name": INPUT, "dtype": "float32", "shape": ["batch", 3, trained.side, trained.side]},
        "output": {"name": OUTPUT, "dtype": "float32", "shape": ["batch", len(trained.classes)]},
    }


def versions() -> dict[str, str | None]:
    """Of the libraries that take part in exports; None where one is not installed."""
    found: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found
