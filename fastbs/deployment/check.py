"""Whether an artefact still is the net that was trained: its files, its preprocessing, its answers."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fastbs.analysis.parity import compare_logits
from fastbs.analysis.parity_gate import GATES, ParityGate
from fastbs.data.check import verified_dataset
from fastbs.data.dataset import Dataset, Split
from fastbs.data.loaders import make_loader
from fastbs.data.preprocessing import preprocessing
from fastbs.deployment.answers import Refused, different_answers, logits_of
from fastbs.deployment.batch_range import BatchRange
from fastbs.deployment.engine_build import rebuilt_differently
from fastbs.deployment.open_artifact import Deployed, open_artifact, open_graph
from fastbs.deployment.to_onnx import MODEL
from fastbs.deployment.trained_net import TrainedNet, load_trained
from fastbs.errors import BadInput
from fastbs.results.artifact_folder import ArtifactFolder, digest
from fastbs.results.files import SCHEMA, read_json, write_json
from fastbs.training import precision as number_format
from fastbs.worker import Unsupported

BUILT_NOT_RUN = "built, not run"
SLOW_LIMIT = 200  # images for ONNX's reference evaluator, unless a limit is given


def check_artifact(
    folder: str, run: str | None, data: str | None, limit: int | None, gate: dict[str, float], threads: int
) -> dict[str, Any]:
    """Check the artefact in `folder`; returns check.json, which is also written there.

    Files first: nothing that was changed is run. Then the logits of artefact and trained net on the same preprocessed
    validation images (`limit` of them, evenly spread; none: all), and the artefact's at several batch sizes. `run` and
    `data` name the run and the images where they are not where they were; `gate` overrides fields of the precision's
    gate. BadInput where there is nothing to compare, Unsupported where nothing here can compute the artefact.
    """
    artifact = ArtifactFolder(Path(folder))
    document = read_json(artifact.document, "artifact")
    found: dict[str, Any] = {"schema": SCHEMA, "kind": "artifact-check", "digest": document.get("digest")}
    if failures := _changed(artifact, document):
        return _write(artifact, found | {"status": "failed", "failures": failures})
    trained = load_trained(Path(run) if run else artifact.path / document["run"]["folder"])
    if failures := _foreign(document, trained):
        return _write(artifact, found | {"status": "failed", "failures": failures})
    torch.set_num_threads(threads)
    try:
        deployed, engine, failures = _open(artifact, document, threads)
    except (BadInput, Unsupported):
        raise
    except Exception as error:  # each runtime has its own
        failures = [f"cannot be loaded: {' '.join(str(error).split())}"]
        return _write(artifact, found | {"status": "failed", "failures": failures})
    if limit is None and engine != "run" and document["precision"] == "bf16":
        limit = SLOW_LIMIT
    images = _spread(_dataset(document, trained, data), limit)
    compared, more = _compare(trained, deployed, images, document["precision"], gate, threads)
    failures = [*failures, *more]
    return _write(
        artifact,
        found | {"status": "failed" if failures else "ok", "failures": failures, "engine": engine} | compared,
    )


def _write(artifact: ArtifactFolder, document: dict[str, Any]) -> dict[str, Any]:
    write_json(artifact.check, document)
    return document


def _changed(artifact: ArtifactFolder, document: dict[str, Any]) -> list[str]:
    """What is not as it was exported."""
    own = [] if document.get("digest") == digest(document) else ["artifact.json was changed after it was written"]
    return own + artifact.wrong_files(document)


def _foreign(document: dict[str, Any], trained: TrainedNet) -> list[str]:
    """What does not fit the run: other weights since, or another preprocessing than that it was trained with."""
    failures = []
    if document["run"]["checkpoint_sha256"] != trained.checkpoint_sha256:
        failures.append("stale or foreign: the run's checkpoint is not the one that was exported; export anew")
    expected = preprocessing(trained.classes, trained.side)
    for key, value in expected.items():
        if document["preprocessing"].get(key) != value:
            failures.append(
                f"preprocessing: {key} is {document['preprocessing'].get(key)}, the net was fed with {value}"
            )
    return failures


def _open(artifact: ArtifactFolder, document: dict[str, Any], threads: int) -> tuple[Deployed, str | None, list[str]]:
    """What to evaluate, "run" or BUILT_NOT_RUN for an engine, and what is wrong with an engine that is not run."""
    kind, batch = document["to"], BatchRange.from_json(document["batch"])
    if kind == "onnx":
        return open_graph(artifact.path, document["precision"], batch, threads), None, []
    try:
        if not torch.cuda.is_available():
            raise Unsupported("no NVIDIA GPU here")
        return open_artifact(artifact.path, torch.device("cuda"), threads), "run", []
    except Unsupported as error:
        if MODEL not in document["files"]:
            raise
        deployed = open_graph(artifact.path, document["precision"], batch, threads)
        return deployed, f"{BUILT_NOT_RUN}: {error}", rebuilt_differently(artifact.path, document, batch)


def _dataset(document: dict[str, Any], trained: TrainedNet, data: str | None) -> Dataset:
    """The images to check on; BadInput where the net does not know their classes."""
    root = Path(data or trained.run.data)
    if not root.is_dir():
        raise BadInput(f"{root}: the images that the run was trained on are not there; name them with --data")
    if trained.run.loader == "synthetic":
        raise BadInput(f"{document['run']['id']}: was trained on random images; there is nothing to check it on")
    dataset = verified_dataset(root)
    if dataset.classes != trained.classes:
        raise BadInput(f"{root}: its classes are not those of the trained net; name the images with --data")
    return dataset


def _spread(dataset: Dataset, limit: int | None) -> Dataset:
    """`limit` validation images, evenly spread over all (which are in order of class)."""
    images = dataset.validation
    if limit is None or limit >= len(images):
        return dataset
    chosen = [len(images) * index // limit for index in range(limit)]
    part = Split(tuple(images.files[i] for i in chosen), tuple(images.labels[i] for i in chosen))
    return replace(dataset, validation=part)


def _compare(
    trained: TrainedNet,
    deployed: Deployed,
    dataset: Dataset,
    precision: str,
    overrides: dict[str, float],
    threads: int,
) -> tuple[dict[str, Any], list[str]]:
    """What was measured, and which gates it breaks."""
    device = deployed.device
    number_format.set_up("fp32", device)
    net = trained.net.to(device)
    gate: ParityGate = ParityGate(**(asdict(GATES[precision]) | overrides))
    loader = make_loader(
        trained.run.loader,
        dataset,
        "validation",
        batch_size=deployed.batch.opt,
        image_size=trained.side,
        augment="none",
        dtype=torch.float32,
        device=device,
        seed=0,
        threads=threads,
    )
    expected: list[Any] = []
    answered: list[Any] = []
    labels: list[Any] = []
    first: list[torch.Tensor] = []  # enough of the images to fill the largest batch
    with torch.inference_mode(), loader:
        for images, truth in loader:
            if len(expected) * deployed.batch.opt < deployed.batch.max:
                first.append(images)
            expected.append(net(images).cpu().numpy())
            labels.append(truth.cpu().numpy())
            with suppress(Refused):  # said below, size by size
                answered.append(logits_of(deployed, images))
        failures, tried = different_answers(deployed, torch.cat(first), np.concatenate(expected), gate)
    found = {"evaluator": deployed.name, "dataset": dataset.name, "gates": asdict(gate), "batch_sizes": tried}
    if len(answered) < len(expected):
        return found, failures
    parity = compare_logits(np.concatenate(expected), np.concatenate(answered), np.concatenate(labels))
    broken = gate.broken_by(parity) + _other_images(trained, dataset, parity.top1_reference)
    return found | parity.to_json(), broken + failures


def _other_images(trained: TrainedNet, dataset: Dataset, top1: float) -> list[str]:
    """The trained net itself must do here what it did at the end of its run, if these are the same images.

    2 points are allowed: runs that compute in bf16 are evaluated in it, and here in fp32.
    """
    recorded, same = trained.top1, dataset.fingerprint == trained.document["dataset"]["fingerprint"]
    whole = len(dataset.validation) == trained.document["dataset"]["validation"]
    if recorded is None or not same or not whole or abs(top1 - recorded) <= 0.02:
        return []
    return [f"the trained net itself has top1 {top1:.4f} here and {recorded:.4f} in its run: it is not fed the same"]
