"""Exported nets as what a plan measures, and their latencies as what is left with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastbs.bench.plan import BenchPlan
from fastbs.errors import BadInput
from fastbs.results.artifact_folder import ArtifactFolder, find_artifacts
from fastbs.results.files import SCHEMA, require_writable, write_json

NOT_BESIDE = {"models": BenchPlan.models, "norm": None, "classes": None, "image_size": None, "data": None}
SAME = ("model", "norm", "classes", "image_size")


def plan_artifacts(plan: BenchPlan) -> BenchPlan:
    """`plan` for the net of its artefacts, every folder in it an artefact's own.

    Of artefacts that differ in nothing but the seed of their run the first is measured: their time is the same.
    BadInput where there is none, where the plan names another net, where artefacts are of different nets (these would
    share no table) or would have the same rows, or where latency.json could not be written in the end.
    """
    if not plan.artifacts:
        return plan
    for name, unsaid in NOT_BESIDE.items():
        if getattr(plan, name) != unsaid:
            raise BadInput(f"{name.replace('_', '-')}: is that of the exported net; leave it out beside --artifact")
    found: dict[tuple[str, ...], ArtifactFolder] = {}
    nets: dict[tuple[Any, ...], Path] = {}
    for folder in plan.artifacts:
        for artifact in find_artifacts(Path(folder)):
            document = artifact.read()
            nets.setdefault(tuple(document["run"][name] for name in SAME), artifact.path)
            if len(nets) > 1:
                one, other = nets.values()
                raise BadInput(f"artifact: {one} and {other} are different nets; measure them one after the other")
            known = found.setdefault(tuple(map(str, identity_of(document).values())), artifact)
            _refuse_indistinct(known, artifact)
    for artifact in found.values():
        require_writable(artifact.latency)
    (net,) = nets
    model, norm, classes, image_size = net
    return replace(
        plan,
        artifacts=tuple(str(artifact.path.resolve()) for artifact in found.values()),
        models=(model,),
        norm=norm,
        classes=classes,
        image_size=image_size,
    )


def _refuse_indistinct(known: ArtifactFolder, artifact: ArtifactFolder) -> None:
    """BadInput for two artefacts whose rows have the same names and that are more than seeds of one training."""
    one, other = known.read(), artifact.read()
    seeds = one["run"]["seed"] != other["run"]["seed"]
    alike = seeds and (one["run"]["arm"], one["profiles"]) == (other["run"]["arm"], other["profiles"])
    if known.path.resolve() != artifact.path.resolve() and not alike:
        raise BadInput(
            f"artifact: {known.path} and {artifact.path} would be the same rows; measure them one after the other"
        )


def identity_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """What names the rows of an artefact, but for batch size and CUDA graph."""
    run = document["run"]
    return {
        "model": run["model"],
        "precision": document["precision"],
        "backend": document["to"],
        "trained_at": run["batch_size"],
    }


def planned_artifacts(plan: BenchPlan) -> list[dict[str, Any]]:
    """What names the rows of each artefact, with its folder, digest and profiles, as they are now."""
    documents = [(folder, ArtifactFolder(Path(folder)).read()) for folder in plan.artifacts]
    return [
        {"folder": folder, **identity_of(document), "profiles": document["profiles"], "digest": document["digest"]}
        for folder, document in documents
    ]


def write_latencies(document: Mapping[str, Any]) -> None:
    """latency.json in the folder of every artefact of a document of kind "bench": its own rows, and those of its net in
    torch. What is there stays where the document has no row of the artefact."""
    for artifact in document["settings"]["artifacts"]:
        net = {name: artifact[name] for name in ("model", "trained_at")}
        rows = [row for row in document["rows"] if net.items() <= row.items()]
        own = [row for row in rows if all(row[name] == artifact[name] for name in ("backend", "precision"))]
        if own:
            about = {name: document[name] for name in ("machine", "settings", "timed")}
            beside = [row for row in rows if row["backend"] in ("eager", "compile")]
            write_json(
                ArtifactFolder(Path(artifact["folder"])).latency,
                {"schema": SCHEMA, "kind": "latency", "digest": artifact["digest"], **about, "rows": own + beside},
            )
