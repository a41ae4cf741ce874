"""Whether an artefact still is the net that was trained: its files, its preprocessing, its answers."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fastbs.analysis.parity import compare_logits
from fastbs.analysis.parity_gate import GATES, ParityGate
from fastbs.data.check import verified_dataset
from fastbs.data.dataset import Dataset, Split
from fastbs.deployment.answers import Answers, Refused, answers_to, different_answers, logits_of
from fastbs.deployment.batch_range import BatchRange
from fastbs.deployment.engine_build import build_again
from fastbs.deployment.export import KINDS
from fastbs.deployment.facts import facts_of
from fastbs.deployment.library import MissingLibrary
from fastbs.deployment.open_artifact import Deployed, open_artifact, open_graph
from fastbs.deployment.to_onnx import MODEL, weight_formats
from fastbs.deployment.trained_net import TrainedNet, load_trained
from fastbs.errors import BadInput
from fastbs.results.artifact_folder import ArtifactFolder, digest
from fastbs.results.files import SCHEMA, write_json
from fastbs.results.run_folder import RunFolder
from fastbs.worker import Unsupported

BUILT_NOT_RUN = "built, not run"
SLOW_LIMIT = 200  # images for ONNX's reference evaluator, unless a limit is given
ROUNDED = 32  # images that an fp16 graph is evaluated on with every result rounded, as no CPU's runtime does it


def check_artifact(
    folder: str, run: str | None, data: str | None, limit: int | None, gate: dict[str, float], threads: int
) -> dict[str, Any]:
    """Check the artefact in `folder`; returns check.json, which is also written there.

    Files first: nothing that was changed is run. Then what it says of its run, then the logits of artefact and trained
    net on the same preprocessed validation images (`limit` of them, evenly spread; none: all), and the artefact's at
    several batch sizes. `run` and `data` name the run and the images where they are not where they were; `gate`
    overrides fields of the precision's gate. BadInput where there is nothing to compare, Unsupported where nothing here
    can compute the artefact.
    """
    artifact = ArtifactFolder(Path(folder))
    document = artifact.load()
    found: dict[str, Any] = {"schema": SCHEMA, "kind": "artifact-check", "digest": document["digest"]}
    if failures := _changed(artifact, document):
        return _write(artifact, found | {"status": "failed", "failures": failures})
    trained = load_trained(_run_of(artifact, document, run))
    if failures := [*_foreign(document, trained), *_other_format(artifact, document)]:
        return _write(artifact, found | {"status": "failed", "failures": failures})
    torch.set_num_threads(threads)
    try:
        deployed, engine, failures = _open(artifact, document, threads)
    except (BadInput, Unsupported):
        raise
    except Exception as error:  # each runtime has its own
        failures = [f"cannot be loaded: {' '.join(str(error).split())}"]
        return _write(artifact, found | {"status": "failed", "failures": failures})
    precision, on_cpu = document["precision"], engine != "run"
    if limit is None and on_cpu and precision == "bf16":
        limit = SLOW_LIMIT
    limits = ParityGate(**(asdict(GATES[precision]) | gate))
    dataset = _spread(_dataset(document, trained, data), limit)
    answers = answers_to(trained, deployed, dataset, threads)
    compared, more = _compare(answers, deployed, limits, limit)
    failures += [*more, *_other_images(trained, dataset, compared)]
    if on_cpu and precision == "fp16" and not more:
        rounding = open_graph(artifact.path, precision, deployed.batch, threads, rounding=True)
        compared["rounded"], more = _rounded(answers, rounding, limits)
        failures += more
    found |= {"status": "failed" if failures else "ok", "failures": failures, "engine": engine}
    return _write(artifact, found | {"dataset": dataset.name} | compared)


def _write(artifact: ArtifactFolder, document: dict[str, Any]) -> dict[str, Any]:
    write_json(artifact.check, document)
    return document


def _changed(artifact: ArtifactFolder, document: dict[str, Any]) -> list[str]:
    """What is not as it was exported."""
    if document["digest"] != digest(document):
        return ["artifact.json was changed after it was written"]
    if document["to"] not in KINDS or document["precision"] not in GATES:
        return [f"{document['to']} in {document['precision']} is nothing that fastbs exports"]
    return artifact.wrong_files(document)


def _run_of(artifact: ArtifactFolder, document: dict[str, Any], run: str | None) -> Path:
    """The folder of the run; BadInput where it is not where it was."""
    folder = Path(run) if run else Path(os.path.normpath(artifact.path / document["run"]["folder"]))
    if not RunFolder(folder).document.exists():
        raise BadInput(f"{folder}: the run that {artifact.path} was exported from is not there; name it with --run")
    return folder


def _foreign(document: dict[str, Any], trained: TrainedNet) -> list[str]:
    """What does not fit the run: other weights since, or anything that is said of run, data set or preprocessing."""
    facts = json.loads(json.dumps(facts_of(trained)))
    if document["run"]["checkpoint_sha256"] != facts["run"]["checkpoint_sha256"]:
        return ["stale or foreign: the run's checkpoint is not the one that was exported; export anew"]
    failures = []
    for block, expected in facts.items():
        said = {key: value for key, value in document[block].items() if (block, key) != ("run", "folder")}
        for key in [*expected, *(key for key in said if key not in expected)]:
            if said.get(key) != expected.get(key):
                failures.append(f"{block}: {key} is {said.get(key)}, of the run it is {expected.get(key)}")
    if document["profiles"] != (takes := BatchRange.from_json(document["batch"]).describe()):
        failures.append(f"profiles: {document['profiles']} is said, and {takes} under batch")
    return failures


def _other_format(artifact: ArtifactFolder, document: dict[str, Any]) -> list[str]:
    """Weights of the graph that are not in the precision that it is said to compute in."""
    if MODEL not in document["files"]:
        return []
    try:
        found = weight_formats(artifact.path / MODEL) - {document["precision"]}
    except Exception as error:  # protobuf's own
        return [f"cannot be loaded: {' '.join(str(error).split())}"]
    said = f"precision: {document['precision']} is said, and the graph has weights in {', '.join(sorted(found))}"
    return [said] if found else []


def _open(artifact: ArtifactFolder, document: dict[str, Any], threads: int) -> tuple[Deployed, str | None, list[str]]:
    """What to evaluate, "run" or BUILT_NOT_RUN for an engine, and what is wrong with an engine that is not run."""
    kind, batch = document["to"], BatchRange.from_json(document["batch"])
    if kind == "onnx":
        return open_graph(artifact.path, document["precision"], batch, threads), None, []
    try:
        if not torch.cuda.is_available():
            raise Unsupported("no NVIDIA GPU here")
        return open_artifact(artifact.path, torch.device("cuda"), threads), "run", []
    except (Unsupported, MissingLibrary) as error:
        if MODEL not in document["files"]:
            raise Unsupported(str(error)) from error
        deployed = open_graph(artifact.path, document["precision"], batch, threads)
        try:
            again, failures = build_again(artifact.path, document, batch)
        except MissingLibrary as missing:
            again, failures = f"not built again: {missing}", []
        return deployed, f"{BUILT_NOT_RUN}: {error}; {again}", failures


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
    answers: Answers, deployed: Deployed, gate: ParityGate, limit: int | None
) -> tuple[dict[str, Any], list[str]]:
    """What was measured, and which gates it breaks. `limit` also bounds the batch sizes that are tried."""
    sizes = [size for size in deployed.batch.to_try() if limit is None or size <= max(limit, deployed.batch.min)]
    found = {"evaluator": deployed.name, "gates": asdict(gate), "batch_sizes": sizes}
    if not np.isfinite(answers.expected).all() or answers.expected.std() == 0:
        return found, ["the trained net's own logits are not finite or all the same: nothing can be compared with them"]
    different = different_answers(deployed, answers, gate, sizes)
    if answers.refused:
        return found, [*dict.fromkeys([*answers.refused, *different])]
    parity = compare_logits(answers.expected, answers.answered, answers.labels)
    return found | parity.to_json(), gate.broken_by(parity) + different


def _rounded(answers: Answers, rounding: Deployed, gate: ParityGate) -> tuple[dict[str, Any], list[str]]:
    """The same for some of the images, computed by what rounds every result to the format of the graph."""
    images, rows = answers.sample[:ROUNDED], answers.chosen[:ROUNDED]
    size = rounding.batch.padded(1)
    try:
        logits = np.concatenate([logits_of(rounding, images[i : i + size]) for i in range(0, len(images), size)])
    except Refused as refusal:
        return {"evaluator": rounding.name}, [str(refusal)]
    parity = compare_logits(answers.expected[rows], logits, answers.labels[rows])
    broken = [f"every result rounded to fp16: {sentence}" for sentence in gate.broken_by(parity)]
    return {"evaluator": rounding.name} | parity.to_json(), broken


def _other_images(trained: TrainedNet, dataset: Dataset, compared: dict[str, Any]) -> list[str]:
    """The trained net itself must do here what it did at the end of its run, if these are the same images.

    2 points are allowed: runs that compute in bf16 are evaluated in it, and here in fp32.
    """
    here, recorded = compared.get("top1_reference"), trained.top1
    same = dataset.fingerprint == trained.document["dataset"]["fingerprint"]
    whole = len(dataset.validation) == trained.document["dataset"]["validation"]
    compared["same_images"] = same
    if here is None or recorded is None or not same or not whole or abs(here - recorded) <= 0.02:
        return []
    return [f"the trained net itself has top1 {here:.4f} here and {recorded:.4f} in its run: it is not fed the same"]
