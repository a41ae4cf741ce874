"""One planned run in a fresh process of its own, and a record of how it ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastbs import worker
from fastbs.data.dataset import Dataset
from fastbs.results.files import make_folder, read_json
from fastbs.results.lock import locked
from fastbs.results.record import Status
from fastbs.results.run_folder import RunFolder
from fastbs.sweeps.plan import PlannedRun


def execute(
    folder: RunFolder,
    run: PlannedRun,
    dataset: Path,
    machine: dict[str, Any],
    *,
    stop_after: float | None = None,
    show: bool = False,
) -> worker.Outcome:
    """Train `run` in `folder` on the Dataset in the file `dataset`; the run must be on `machine`.

    A run to a target is stopped when it has trained for `stop_after` seconds without holding it.

    The run's own process writes its record. Where it could not, because it died, its status is written here. Bad input
    (a full disk, images that vanished) is not an ending: the run stays open and the outcome says why.
    """
    make_folder(folder.path)
    outcome = worker.call(
        "fastbs.training.run:train",
        {
            "config": run.config.to_json(),
            "dataset": str(dataset),
            "folder": str(folder.path),
            "arm": run.arm,
            "machine": machine,
            "stop_after": stop_after,
        },
        threads=run.config.threads,
        lock=folder.lock,
        log=None if show else folder.log,
        show=show,
    )
    if outcome.status == "ok" or outcome.bad_input:
        return outcome
    with locked(folder.lock, wait=True):
        if folder.is_finished():  # it died after its record was written
            return worker.Outcome("ok", None, read_json(folder.document, "run")["status"], outcome.seconds)
        _record(folder, run, dataset, machine, outcome.status, outcome.reason)
    return outcome


def leave_out(folder: RunFolder, run: PlannedRun, dataset: Path, machine: dict[str, Any], reason: str) -> None:
    """Record `run` as stopped before it began."""
    make_folder(folder.path)
    with locked(folder.lock, wait=True):
        _record(folder, run, dataset, machine, "stopped", reason)


def _record(
    folder: RunFolder, run: PlannedRun, dataset: Path, machine: dict[str, Any], status: Status, reason: str | None
) -> None:
    images = Dataset.from_json(read_json(dataset, "dataset"))
    folder.begin(arm=run.arm, config=run.config.to_json(), dataset=images.describe(), machine=machine)
    folder.finish(status, reason, None)
