"""One planned run in a fresh process of its own, and a record of how it ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastbs import worker
from fastbs.config import RunConfig
from fastbs.data.dataset import Dataset
from fastbs.results.files import make_folder, read_json
from fastbs.results.lock import locked
from fastbs.results.record import Status
from fastbs.results.run_folder import RunFolder
from fastbs.sweeps.plan import PlannedRun
from fastbs.worker import interruption


@dataclasses.dataclass(frozen=True)
class Task:
    """A run to be made in `folder` on the Dataset in the file `dataset`; it must be on `machine`.

    A run to a target is stopped when it has trained for `stop_after` seconds without holding it. `shared`: others
    compute on the same node meanwhile.
    """

    folder: RunFolder
    run: PlannedRun
    dataset: Path
    machine: dict[str, Any]
    stop_after: float | None = None
    shared: bool = False


class Execution:
    """A task under way on this machine."""

    def __init__(self, task: Task, call: worker.Call) -> None:
        self._task, self._call = task, call

    def poll(self) -> worker.Outcome | None:
        """How it ended, recorded; None while it trains."""
        outcome = self._call.poll()
        return None if outcome is None else settle(self._task, outcome)

    def wait(self) -> worker.Outcome:
        """The same at its end. When we are asked to leave, it is."""
        return settle(self._task, self._call.wait_passing_on())

    def ask_to_leave(self) -> None:
        self._call.ask_to_leave()

    def abandon(self) -> None:
        self._call.kill()


def begin(task: Task, *, env: Mapping[str, str | None] | None = None, show: bool = False) -> Execution:
    """Start to train. The run's own process writes its record; where it could not, because it died, `settle` does."""
    folder, run = task.folder, task.run
    make_folder(folder.path)
    call = worker.start(
        "fastbs.training.run:train",
        {
            "config": run.config.to_json(),
            "dataset": str(task.dataset),
            "folder": str(folder.path),
            "arm": run.arm,
            "machine": task.machine,
            "stop_after": task.stop_after,
            "shared": task.shared,
        },
        threads=run.config.threads,
        env=env,
        lock=folder.lock,
        log=None if show else folder.log,
        show=show,
    )
    return Execution(task, call)


def execute(task: Task, *, show: bool = False) -> worker.Outcome:
    """Train to the end."""
    return begin(task, show=show).wait()


def execute_elsewhere(
    folder: str, id: str, arm: str, config: dict[str, Any], dataset: str, machine: dict[str, Any], shared: bool
) -> dict[str, Any]:
    """`execute` for who can pass nothing but JSON; returns the Outcome. Interrupted where that is how it ended."""
    run = PlannedRun(id, arm, RunConfig.from_json(config))
    outcome = execute(Task(RunFolder(Path(folder)), run, Path(dataset), machine, shared=shared))
    if outcome.interrupted or (interruption.asked() and outcome.status == "failed"):
        raise worker.Interrupted(outcome.reason)
    return dataclasses.asdict(outcome)


def settle(task: Task, outcome: worker.Outcome) -> worker.Outcome:
    """Record how a run ended that could not say so itself.

    Bad input (a full disk, images that vanished) and an interruption are no endings: the run stays open, and the
    outcome says why.
    """
    if outcome.status == "ok" or outcome.bad_input or outcome.interrupted:
        return outcome
    folder = task.folder
    make_folder(folder.path)
    with locked(folder.lock, wait=True):
        if folder.is_finished():  # it died after its record was written
            return worker.Outcome("ok", None, read_json(folder.document, "run")["status"], outcome.seconds)
        _record(task, outcome.status, outcome.reason)
    return outcome


def leave_out(task: Task, reason: str) -> None:
    """Record a run as stopped before it began."""
    make_folder(task.folder.path)
    with locked(task.folder.lock, wait=True):
        _record(task, "stopped", reason)


def _record(task: Task, status: Status, reason: str | None) -> None:
    images = Dataset.from_json(read_json(task.dataset, "dataset"))
    task.folder.begin(
        arm=task.run.arm,
        config=task.run.config.to_json(),
        dataset=images.describe(),
        machine=task.machine,
        shared=task.shared,
    )
    task.folder.finish(status, reason, None)
