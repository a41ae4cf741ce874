"""Runs and sweeps as fastbs itself writes them, made from simulated numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastbs.analysis.arms import planned_lr
from fastbs.config import RunConfig, SweepConfig
from fastbs.results.files import SCHEMA
from fastbs.results.measurement_files import MeasurementFile
from fastbs.results.record import Evaluation, Result, RunRecord, Status
from fastbs.results.run_folder import RunFolder
from fastbs.results.sweep_folder import SweepFolder

MACHINE: dict[str, Any] = {"cpu": {"model": "simulated"}}
RESOLVED: dict[str, Any] = {"precision": "fp32", "device": "cpu", "threads": 1, "image_size": 32, "augment": "none"}


def dataset(train: int = 1347, validation: int = 2000) -> dict[str, Any]:
    return {
        "name": "simulated",
        "train": train,
        "validation": validation,
        "test": None,
        "split": "-",
        "imbalance": 1.0,
        "fingerprint": "simulated",
    }


def run_config(**settings: Any) -> RunConfig:
    """Of a run as it stands in a plan: nothing is left to be chosen."""
    return RunConfig(**{"data": "simulated", **RESOLVED, **settings})


def evaluation(config: RunConfig, images: float, *, step_seconds: float, top1: float, loss: float) -> Evaluation:
    updates = images / config.batch_size
    return Evaluation(
        images=round(images),
        updates=round(updates),
        train_seconds=updates * step_seconds,
        wall_seconds=updates * step_seconds + 3.0,
        train_loss=loss,
        train_top1=min(1.0, max(0.0, top1)),
        loss=loss,
        top1=min(1.0, max(0.0, top1)),
        balanced_top1=min(1.0, max(0.0, top1)),
        lr=config.lr,
    )


def result(config: RunConfig, images: float, *, step_seconds: float) -> Result:
    seconds = images / config.batch_size * step_seconds
    return Result(
        updates=round(images / config.batch_size),
        skipped_updates=0,
        images=round(images),
        train_seconds=seconds,
        wall_seconds=seconds + 3.0,
        startup_seconds=2.0,
        eval_seconds=0.5,
        checkpoint_seconds=0.1,
        input_wait_seconds=0.0,
        step_seconds=step_seconds,
        update_seconds=min(2e-4, step_seconds / 4),
        parameters=24_000,
        peak_memory_bytes=10**8 + 10**5 * config.batch_size,
        minor_faults_per_image=0.0,
        energy_joules=None,
        energy_source=None,
    )


def planned_run(sweep: SweepConfig, arm: str, batch_size: int, seed: int, **changes: Any) -> dict[str, Any]:
    """One entry of a plan's "runs"; the config is complete, so that the plan can be read by every verb."""
    lr = planned_lr(sweep, arm, batch_size)
    config = sweep.run.replace(batch_size=batch_size, seed=seed, lr=lr, micro_batch=None, **changes)
    name = f"b{batch_size:04d}-s{seed}" + ("" if arm == "main" else f"-{arm}")
    return {"id": name, "arm": arm, "config": config.to_json()}


def run_record(
    planned: dict[str, Any],
    images: Sequence[float],
    top1: Sequence[float],
    *,
    step_seconds: float,
    status: Status = "ok",
    losses: Sequence[float] | None = None,
) -> RunRecord:
    """A run that was evaluated after so many training images each, and ended at the last of them."""
    config = RunConfig.from_json(planned["config"])
    losses = losses if losses is not None else list(np.linspace(1.0, 0.2, len(images)))
    evaluations = tuple(
        evaluation(config, at, step_seconds=step_seconds, top1=value, loss=loss)
        for at, value, loss in zip(images, top1, losses, strict=True)
    )
    trained = status in ("ok", "missed", "diverged")
    return RunRecord(
        id=planned["id"],
        arm=planned["arm"],
        batch_size=config.batch_size,
        seed=config.seed,
        lr=config.lr,
        status=status,
        reason=None if status == "ok" else f"simulated: {status}",
        result=result(config, images[-1], step_seconds=step_seconds) if trained and images else None,
        evaluations=evaluations if trained else (),
    )


def plan_document(
    sweep: SweepConfig, data: dict[str, Any], runs: Sequence[dict[str, Any]], *, tuning: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """sweep.json of `runs`, read back from its text as from a file."""
    document = {
        "schema": SCHEMA,
        "kind": "sweep-plan",
        "requested": sweep.to_json(),
        "resolved": sweep.to_json(),
        "dataset": data,
        "machine": MACHINE,
        "norm": "group",
        "parameters": 24_000,
        "tuning": list(tuning),
        "runs": list(runs),
    }
    loaded: dict[str, Any] = json.loads(json.dumps(document))
    return loaded


def sweep_file(plan: dict[str, Any], runs: Sequence[RunRecord], name: str = "runs/simulated") -> MeasurementFile:
    """A sweep as `read_measurements` gives it, without a disk between."""
    return MeasurementFile(name, "sweep", plan, tuple(runs))


def write_sweep(folder: Path, plan: dict[str, Any], runs: Sequence[RunRecord]) -> SweepFolder:
    """The same on disk, for the verbs themselves."""
    there = SweepFolder(folder)
    there.open()
    there.write_plan(plan)
    configs = {run["id"]: run["config"] for run in plan["runs"]}
    for run in runs:
        write_run(there.run(run.id), run, configs[run.id])
    return there


def write_run(folder: RunFolder, run: RunRecord, config: dict[str, Any]) -> None:
    """As the training process writes it."""
    folder.begin(arm=run.arm, config=config, dataset=dataset(), machine=MACHINE)
    for point in run.evaluations:
        folder.append(point)
    folder.finish(run.status, run.reason, run.result)
