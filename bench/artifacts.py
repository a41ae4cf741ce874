"""Exported nets as what a plan measures, and their latencies as what is left with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastbs.bench.plan import BenchPlan
from fastbs.errors import BadInput
from fastbs.results.artifact_folder import ArtifactFolder, find_artifacts
from fastbs.results.files import SCHEMA, write_json

SAME = ("model", "norm", "classes", "image_size")


def plan_artifacts(plan: BenchPlan) -> BenchPlan:
    """`plan` for the net of its artefacts, every folder in it an artefact's own.

    Of artefacts that differ in nothing but the seed of their run the first is measured: their time is the same.
    BadInput where there is none, or they are of different nets: these would share no table.
    """
    if not plan.artifacts:
        return plan
    found: dict[tuple[str, ...], ArtifactFolder] = {}
    nets: dict[tuple[Any, ...], Path] = {}
    for folder in plan.artifacts:
        for artifact in find_artifacts(Path(folder)):
            document = artifact.read()
            found.setdefault(tuple(map(str, identity_of(document).values())), artifact)
            nets.setdefault(tuple(document["run"][name] for name in SAME), artifact.path)
    if len(nets) > 1:
        one, other, *_ = nets.values()
        raise BadInput(f"artifact: {one} and {other} are different nets; measure them one after the other")
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


def identity_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """What names the rows of an artefact, but for batch size and CUDA graph."""
    run = document["run"]
    return {
        "model": run["model"],
        "precision": document["precision"],
        "backend": document["to"],
        "trained_at": run["batch_size"],
    }


def precisions_of(plan: BenchPlan) -> tuple[str, ...]:
    """Those of the artefacts, each once."""
    return tuple(dict.fromkeys(ArtifactFolder(Path(folder)).read()["precision"] for folder in plan.artifacts))


def write_latencies(plan: BenchPlan, document: Mapping[str, Any]) -> None:
    """latency.json in the folder of every artefact of the plan, with its own rows of a document of kind "bench"."""
    for folder in plan.artifacts:
        artifact = ArtifactFolder(Path(folder))
        exported = artifact.read()
        own = identity_of(exported)
        rows = [row for row in document["rows"] if own.items() <= row.items()]
        if rows:
            about = {name: document[name] for name in ("machine", "settings", "timed")}
            write_json(
                artifact.latency,
                {"schema": SCHEMA, "kind": "latency", "digest": exported["digest"], **about, "rows": rows},
            )
