"""One run by itself, in its own folder."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from fastbs import worker
from fastbs.config import RunConfig
from fastbs.errors import BadInput
from fastbs.results.files import read_json
from fastbs.results.lock import locked
from fastbs.results.run_folder import RunFolder
from fastbs.sweeps.execute import Task, execute
from fastbs.sweeps.open_run import open_run
from fastbs.sweeps.plan import PlannedRun
from fastbs.sweeps.rank import train_as_rank
from fastbs.worker.cores import require_cores
from fastbs.worker.ranks import own_rank


def train(run: RunConfig, out: Path, gpus: int | None = None) -> dict[str, Any]:
    """Make or continue `run` in `out`; returns its run.json with the evaluations under "evaluations".

    With `gpus` above 1, so many processes of this machine make it together, as ranks that torchrun's launcher starts;
    with run.device "cpu" they need none. Called in a process that torchrun started, this is one of its ranks: there
    only rank 0 returns all, the others {"status", "reason"}.

    BadInput when `out` holds something else or another process works there.
    """
    if rank := own_rank():
        if gpus not in (None, rank.ranks):
            raise BadInput(f"gpus: torchrun started {rank.ranks} ranks, and {gpus} were asked for; leave --gpus out")
        document = train_as_rank(run, out, rank)
        return with_evaluations(document, out) if rank.rank == 0 else document
    run = run if gpus is None else run.replace(device=run.device or "cuda")
    if gpus is not None and gpus > 1:
        _launch(run, out, gpus)
    else:
        _alone(run, out)
    return with_evaluations(read_json(RunFolder(out).document, "run"), out)


def with_evaluations(document: dict[str, Any], out: Path) -> dict[str, Any]:
    return document | {"evaluations": [evaluation.to_json() for evaluation in RunFolder(out).evaluations()]}


def _alone(run: RunConfig, out: Path) -> None:
    known, folder = open_run(run, out), RunFolder(out)
    if not folder.is_finished():
        planned = PlannedRun(out.name, "main", RunConfig.from_json(known["config"]))
        outcome = execute(Task(folder, planned, Path(known["dataset"]), known["machine"]), show=True)
        if outcome.interrupted:
            raise KeyboardInterrupt
        if outcome.bad_input:
            raise BadInput(outcome.reason or out.name)


def _launch(run: RunConfig, out: Path, gpus: int) -> None:
    """Have torchrun's launcher start the ranks, in a process of its own; they write the record, or their heirs do."""
    require_cores("gpus", gpus)
    run.of_rank(gpus)
    arguments = {"config": run.to_json(), "out": str(out), "ranks": gpus, "name": uuid.uuid4().hex}
    outcome = worker.start("fastbs.sweeps.launch:launch", arguments, show=True).wait_passing_on()
    if outcome.bad_input:
        raise BadInput(outcome.reason or out.name)
    if outcome.interrupted:
        raise KeyboardInterrupt
    reason = outcome.reason or outcome.value
    if reason is None:
        return
    folder = RunFolder(out)
    if not folder.document.exists():
        raise BadInput(f"{out}: {reason}, before a run was begun; the same command begins it")
    with locked(folder.lock, wait=True):
        if read_json(folder.document, "run")["status"] == "running":  # no rank lived to tell
            folder.finish("failed", reason, None)
