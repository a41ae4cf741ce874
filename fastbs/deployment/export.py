"""One trained run to one artefact."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from fastbs.deployment.batch_range import BatchRange
from fastbs.deployment.engine_build import build_engine, engine_library
from fastbs.deployment.facts import facts_of, versions
from fastbs.deployment.numerics import ExportPrecision, InPrecision, in_precision
from fastbs.deployment.to_onnx import MODEL, write_onnx
from fastbs.deployment.trained_net import TrainedNet, load_trained
from fastbs.deployment.with_torch_tensorrt import compile_and_save
from fastbs.errors import BadInput
from fastbs.results.artifact_folder import ArtifactFolder, sha256
from fastbs.results.files import SCHEMA, make_folder

Kind = Literal["onnx", "torch-tensorrt", "tensorrt", "tensorrt-rtx"]
KINDS = get_args(Kind)


def export_run(
    run: str,
    to: Kind,
    precision: ExportPrecision,
    batch: dict[str, Any],
    capabilities: list[str],
    folder: str,
    cache: str,
) -> dict[str, Any]:
    """Export the run in folder `run`; returns artifact.json, which `folder` then holds beside its files.

    `batch` is a BatchRange as JSON; `capabilities` are the compute capabilities to build for without a card
    (TensorRT-RTX); `cache` is the folder of timing and engine caches. What was in `folder` is replaced at the end, by
    renaming: it never holds half an artefact. BadInput and Unsupported as their libraries give cause.
    """
    trained, sizes = load_trained(Path(run)), BatchRange.from_json(batch)
    net = in_precision(trained.net, precision, trained.side, sizes)
    target = Path(folder)
    if target.exists() and (others := ArtifactFolder(target).others()):
        raise BadInput(f"{folder}: holds something else than an artefact ({others[0]}); choose another --out")
    scratch = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    make_folder(scratch)
    try:
        engines = _write(net, trained.side, to, precision, sizes, capabilities, scratch, Path(cache))
        document = _describe(trained, to, precision, sizes, engines, scratch, os.path.relpath(run, folder))
        ArtifactFolder(scratch).write(document)
        if target.exists():
            shutil.rmtree(target)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return ArtifactFolder(target).read()


def _write(
    net: InPrecision,
    side: int,
    to: Kind,
    precision: ExportPrecision,
    batch: BatchRange,
    capabilities: list[str],
    folder: Path,
    cache: Path,
) -> list[dict[str, str]]:
    """Write the files of the artefact; returns its engines with the compute capability of each."""
    if to == "torch-tensorrt":
        compile_and_save(net, side, batch, folder, cache)
        return []
    write_onnx(net, side, batch, folder)
    if to == "onnx":
        return []
    library, engines = engine_library(to), []
    for capability in capabilities or [_this_card(to)]:
        file = f"sm{capability.replace('.', '')}.engine"
        engine = build_engine(
            library,
            folder / MODEL,
            batch,
            exact_fp32=precision == "fp32",
            capability=capability if capabilities else None,
            timing_cache=cache / f"tensorrt-{library.__version__}-{file}.timing" if to == "tensorrt" else None,
        )
        (folder / file).write_bytes(engine)
        engines.append({"file": file, "compute_capability": capability})
    return engines


def _this_card(to: Kind) -> str:
    if not torch.cuda.is_available():
        way_out = "; name the cards with --compute-capability 8.6,12.0" if to == "tensorrt-rtx" else ""
        raise BadInput(f"to: {to} builds for the GPU that is here, and there is none{way_out}")
    return ".".join(map(str, torch.cuda.get_device_capability()))


def _describe(
    trained: TrainedNet,
    to: Kind,
    precision: ExportPrecision,
    batch: BatchRange,
    engines: list[dict[str, str]],
    folder: Path,
    run: str,
) -> dict[str, Any]:
    """artifact.json of the files in `folder`; `run` is where the run lies, seen from the artefact."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    facts = facts_of(trained)
    return {
        "schema": SCHEMA,
        "kind": "artifact",
        "to": to,
        "precision": precision,
        "files": {file.name: {"sha256": sha256(file), "bytes": file.stat().st_size} for file in files},
        "engines": engines,
        **facts,
        "run": {"folder": run, **facts["run"]},
        "batch": batch.to_json(),
        "profiles": batch.describe(),
        "versions": versions(),
    }
