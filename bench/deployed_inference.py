"""What inference with an exported net costs, in this process, and with the same net in torch."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch

from fastbs.bench.inference import Forward, compiled, measure_forward, set_up
from fastbs.config import Precision
from fastbs.deployment.batch_range import BatchRange
from fastbs.deployment.library import MissingLibrary
from fastbs.deployment.numerics import in_precision
from fastbs.deployment.open_artifact import open_artifact
from fastbs.deployment.trained_net import load_trained
from fastbs.errors import BadInput
from fastbs.results.artifact_folder import ArtifactFolder
from fastbs.worker import Unsupported


def measure_artifact(
    folder: str,
    digest: str,
    precision: Precision,
    backend: str,
    image_size: int,
    batch_size: int,
    device: str,
    threads: int,
    *,
    cuda_graph: bool,
    **how: Any,
) -> dict[str, Any]:
    """A sample, as `measure_forward` gives it with `how`, of the artefact in `folder`, or of its net in torch.

    That is what `backend` says: "eager", "compile" (then in `precision`), or the artefact's own. All take random fp32
    images as an artefact does, NCHW, and give fp32 logits. "load_seconds" is from files to what can be called: hashes,
    the runtime's own import, engine or session; of torch, checkpoint and folding. Unsupported where it cannot be
    computed here; BadInput where the artefact is not, or no longer, the one with that `digest`.
    """
    document = ArtifactFolder(Path(folder)).read()
    if document["digest"] != digest:
        raise BadInput(f"{folder}: was exported anew while it was measured; measure it again")
    place = set_up(device, threads, precision, cuda_graph)
    start = time.perf_counter()
    if backend in ("eager", "compile"):
        forward = _in_torch(Path(folder), document, precision, batch_size, place)
        forward = compiled(forward, place) if backend == "compile" else forward
    else:
        forward = _deployed(Path(folder), document, batch_size, place, threads)
    opened = time.perf_counter() - start
    torch.manual_seed(0)
    images = torch.randn((batch_size, 3, image_size, image_size), device=place)
    return {"load_seconds": opened} | measure_forward(forward, images, cuda_graph=cuda_graph, **how)


def _deployed(folder: Path, document: dict[str, Any], batch_size: int, place: torch.device, threads: int) -> Forward:
    batch = BatchRange.from_json(document["batch"])
    if not batch.holds(batch_size):
        raise Unsupported(f"batch {batch_size}: it was exported for {batch.describe()}")
    try:
        return open_artifact(folder, place, threads).forward
    except MissingLibrary as error:
        raise Unsupported(str(error)) from error


def _in_torch(
    folder: Path, document: dict[str, Any], precision: Precision, batch_size: int, place: torch.device
) -> Forward:
    """What is exported in that precision: batch norms folded, weights cast once and for all; channels_last."""
    try:
        trained = load_trained(Path(os.path.normpath(folder / document["run"]["folder"])))
    except BadInput as error:
        raise Unsupported(f"nothing to set beside the artefact: {error}") from error
    if trained.checkpoint_sha256 != document["run"]["checkpoint_sha256"]:
        raise Unsupported("nothing to set beside the artefact: its run was trained anew; export it again")
    size = BatchRange(batch_size, batch_size, batch_size)  # torch takes any: it is not bound to the artefact's
    net = in_precision(trained.net, "fp32" if precision == "tf32" else precision, trained.side, size)
    return net.to(place).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
