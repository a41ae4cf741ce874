"""Exports and checks of many runs: a fresh process for each, so that none can spoil or end another."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fastbs import worker
from fastbs.deployment.batch_range import BatchRange
from fastbs.errors import BadInput
from fastbs.measurement.threads import available_cores
from fastbs.results.artifact_folder import find_artifacts
from fastbs.results.files import SCHEMA, read_json
from fastbs.results.run_folder import RunFolder
from fastbs.results.sweep_folder import SweepFolder

Say = Callable[[str], None]
DEPLOYED = "deployed"  # the folder of a run's artefacts


def export_all(
    records: Sequence[Path],
    *,
    to: str,
    precision: str,
    batch: BatchRange,
    capabilities: Sequence[str] = (),
    out: Path | None = None,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Export every run in `records` (runs, or sweeps: their main runs that are ok or missed their target).

    Returns {"artifacts": [...]}: for each the folder, the run and `status`: "ok" with its artifact.json under
    "artifact", or why there is none. An artefact lies in its run, or below `out`: in `out` itself for a single run.
    BadInput as soon as an export gives cause: it would be the same for the others.
    """
    runs = list({run.resolve(): run for path in records for run in find_runs(path)}.values())
    folders = [_folder(run, to, precision, out, alone=len(runs) == 1) for run in runs]
    for run, folder in zip(runs, folders, strict=True):
        if folders.count(folder) > 1:
            raise BadInput(f"out: several runs are called {run.name}; export them one by one, or leave --out away")
    rows = []
    for run, folder in zip(runs, folders, strict=True):
        arguments = {
            "run": os.path.abspath(run),
            "to": to,
            "precision": precision,
            "batch": batch.to_json(),
            "capabilities": list(capabilities),
            "folder": os.path.abspath(folder),
            "cache": str(cache_folder()),
        }
        outcome = worker.call("fastbs.deployment.export:export_run", arguments, threads=available_cores())
        row = {"folder": str(folder), "run": run.name, "to": to, "precision": precision}
        rows.append(row | _ended(outcome, "artifact"))
        say(f"{folder}: {_said(outcome)}")
    return {"schema": SCHEMA, "kind": "artifacts", "artifacts": rows}


def check_all(
    records: Sequence[Path],
    *,
    run: Path | None = None,
    data: Path | None = None,
    limit: int | None = None,
    gate: dict[str, float] | None = None,
    threads: int | None = None,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Check every artefact in and below `records`; returns {"checks": [...]}, one document for each.

    A document says `folder`, `status` ("ok", "failed", or what kept it from being checked) and, when it could be
    computed, what check.json says. BadInput as soon as a check gives cause.
    """
    folders = {artifact.path.resolve(): artifact for path in records for artifact in find_artifacts(path)}.values()
    rows = []
    for artifact in folders:
        arguments = {
            "folder": os.path.abspath(artifact.path),
            "run": None if run is None else os.path.abspath(run),
            "data": None if data is None else os.path.abspath(data),
            "limit": limit,
            "gate": gate or {},
            "threads": threads or available_cores(),
        }
        outcome = worker.call("fastbs.deployment.check:check_artifact", arguments, threads=threads or available_cores())
        ended = _ended(outcome, "check")
        found = ended.pop("check") or {}
        document = read_json(artifact.document, "artifact")
        row = {"folder": str(artifact.path), **{key: document.get(key) for key in ("to", "precision", "run")}}
        rows.append(row | ended | found)
        say(f"{artifact.path}: {found.get('status') or _said(outcome)}")
    return {"schema": SCHEMA, "kind": "artifact-checks", "checks": rows}


def _folder(run: Path, to: str, precision: str, out: Path | None, *, alone: bool) -> Path:
    if out is None:
        return run / DEPLOYED / f"{to}-{precision}"
    return out if alone else out / run.name


def find_runs(path: Path) -> list[Path]:
    """The run in `path`, or the main runs of the sweep there that are ok or missed; BadInput where there is none."""
    if RunFolder(path).document.exists():
        return [path]
    sweep = SweepFolder(path)
    if not sweep.document.exists():
        raise BadInput(f"{path}: holds neither a run nor a sweep of fastbs")
    runs = [sweep.run(run.id).path for run in sweep.records() if run.arm == "main" and run.status in ("ok", "missed")]
    if not runs:
        raise BadInput(f"{path}: no run of this sweep has ended with a trained net")
    return runs


def cache_folder() -> Path:
    """Where TensorRT's timings and engines are kept between exports."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastbs"


def _ended(outcome: worker.Outcome, name: str) -> dict[str, Any]:
    if outcome.bad_input:
        raise BadInput(outcome.reason or "")
    return {"status": outcome.status, "reason": outcome.reason, "seconds": outcome.seconds, name: outcome.value}


def _said(outcome: worker.Outcome) -> str:
    return (
        f"{outcome.status} ({outcome.seconds:.1f} s)"
        if outcome.reason is None
        else f"{outcome.status}: {outcome.reason}"
    )
