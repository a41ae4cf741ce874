"""One planned run in a fresh process of its own, and a record of how it ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastbs import worker
from fastbs.data.dataset import Dataset
from fastbs.results.lock import locked
from fastbs.results.run_folder import RunFolder
from fastbs.sweeps.plan import PlannedRun


def execute(
    folder: RunFolder,
    run: PlannedRun,
    dataset_file: Path,
    dataset: Dataset,
    machine: dict[str, Any],
    *,
    show: bool = False,
) -> worker.Outcome:
    """Train `run` in `folder`. The run records itself; when its process could not, its status is recorded here.

    Bad input (a full disk, images that vanished) is not an ending: the run stays open and the outcome says why.
    """
    folder.begin(arm=run.arm, config=run.config.to_json(), dataset=dataset.describe(), machine=machine)
    outcome = worker.call(
        "fastbs.training.run:train",
        {
            "config": run.config.to_json(),
            "dataset": str(dataset_file),
            "folder": str(folder.path),
            "arm": run.arm,
            "machine": machine,
        },
        threads=run.config.threads,
        lock=folder.lock,
        log=None if show else folder.log,
        show=show,
    )
    if outcome.status != "ok" and not outcome.bad_input:
        with locked(folder.lock, wait=True):
            folder.finish(outcome.status, outcome.reason, None)
    return outcome
