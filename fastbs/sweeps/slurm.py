"""Runs as jobs of a Slurm cluster."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from fastbs.config import SweepConfig
from fastbs.errors import BadInput
from fastbs.results.files import make_folder, read_json
from fastbs.results.job_files import JobFiles
from fastbs.results.sweep_folder import SweepFolder
from fastbs.sweeps.execute import Task, settle
from fastbs.sweeps.local import refuse_timed
from fastbs.sweeps.plan import PlannedRun
from fastbs.sweeps.slurm_queue import SlurmQueue, ending
from fastbs.sweeps.slurm_submit import SlurmOptions, require_submitit, submit
from fastbs.worker import Outcome

Say = Callable[[str], None]
PAUSE = 0.2  # seconds between looks at what is known


class Slurm:
    """Every run a job of its own.

    The state is on disk: for each job a request, the number that Slurm gave it, and the answer that it left. So whoever
    asked may go away and ask again: what waits or runs is waited for, what has ended is read, and only what is neither
    is submitted.
    """

    def __init__(self, options: SlurmOptions, say: Say = lambda text: None) -> None:
        require_submitit()
        self._options, self._say = options, say
        self._queue = SlurmQueue()

    def call(self, folder: SweepFolder, target: str, arguments: dict[str, Any]) -> Outcome:
        files = _files(folder, target.partition(":")[2])
        request = json.loads(json.dumps({"target": target, "arguments": arguments}))  # as `asked` reads it
        answered = files.answered()
        if answered and answered["status"] == "ok" and files.asked() == request:
            return Outcome(**answered)
        if (number := self._before.get(_job_name(files))) and files.asked() != request:
            raise BadInput(
                f"{folder.path}: Slurm job {number} works on another sweep for it; scancel {number}, or --out"
            )
        outcome = self._job(folder, files, request).wait()
        if not files.answered():
            raise BadInput(f"{files.folder}: {outcome.reason}; the same command submits it again")
        return outcome

    def prepare(self, config: SweepConfig, machine: dict[str, Any]) -> str:
        if config.stop_dominated:
            raise BadInput("stop-dominated: jobs start when the cluster lets them, not in turn; leave it out")
        if not self._options.exclusive:
            refuse_timed(config, "executor: jobs may share nodes", "add --exclusive")
            return "jobs may share nodes: accuracies count, times do not; --exclusive gives times too"
        return ""

    def has_room(self, under_way: Sequence[PlannedRun], run: PlannedRun) -> bool:
        return True

    def shares(self, run: PlannedRun) -> bool:
        return not self._options.exclusive

    def begin(self, folder: SweepFolder, task: Task, lane: int) -> SlurmRun:
        arguments = {
            "folder": str(task.folder.path.resolve()),
            "id": task.run.id,
            "arm": task.run.arm,
            "config": task.run.config.to_json(),
            "dataset": str(task.dataset.resolve()),
            "machine": task.machine,
            "shared": task.shared,
        }
        request = {"target": "fastbs.sweeps.execute:execute_elsewhere", "arguments": arguments}
        return SlurmRun(task, self._job(folder, _files(folder, task.run.id), request))

    @cached_property
    def _before(self) -> dict[str, str]:
        """Number of each job, by its name, that was there when this command began."""
        return {name: number for number, name in self._queue.ask().items()}

    def _job(self, folder: SweepFolder, files: JobFiles, request: dict[str, Any]) -> SlurmJob:
        """The job of this request: the one that waits or runs, or a new one."""
        make_folder(files.folder)
        name = _job_name(files)
        if number := self._before.get(name):
            self._say(f"{files.name}: job {number} waits or runs already")
        else:
            if (lost := files.number()) and not files.answered():
                self._say(f"{files.name}: interrupted: job {lost} {ending(lost)}")
            files.ask(request)
            number = submit(files, name, self._options, self._needs(folder, request))
            self._say(f"{files.name}: job {number} submitted")
        files.write_number(number)
        return SlurmJob(files, number, self._queue)

    def _needs(self, folder: SweepFolder, request: dict[str, Any]) -> list[str]:
        """Folders that a container must see."""
        if not self._options.container:
            return []
        images = request["arguments"]["dataset"]
        root = images["root"] if isinstance(images, dict) else read_json(Path(images), "dataset")["root"]
        return [str(folder.path.resolve()), root]


def _files(folder: SweepFolder, name: str) -> JobFiles:
    return JobFiles(folder.jobs.resolve(), name)


def _job_name(files: JobFiles) -> str:
    """Known before the job is there: who is killed between submitting and writing loses its number."""
    return f"fastbs-{hashlib.sha256(str(files.folder).encode()).hexdigest()[:8]}-{files.name}"


class SlurmJob:
    """A request that Slurm has."""

    def __init__(self, files: JobFiles, number: str, queue: SlurmQueue) -> None:
        self._files, self._number, self._queue = files, number, queue
        self._begin = time.monotonic()

    def poll(self) -> Outcome | None:
        """Its answer, once Slurm knows it no more; without one it was interrupted."""
        if self._number in self._queue.jobs() or self._queue.known_at < self._begin:
            return None
        os.listdir(self._files.folder)  # has NFS look again for files that were not there
        if answered := self._files.answered():
            return Outcome(**answered)
        reason = f"interrupted: Slurm job {self._number} {ending(self._number)}"
        return Outcome("failed", reason, None, time.monotonic() - self._begin)

    def wait(self) -> Outcome:
        while (outcome := self.poll()) is None:
            time.sleep(PAUSE)
        return outcome


class SlurmRun:
    """A run that Slurm has. It goes on when whoever asked for it goes away."""

    def __init__(self, task: Task, job: SlurmJob) -> None:
        self._task, self._job = task, job
        self._left = False

    def poll(self) -> Outcome | None:
        if self._left:
            return Outcome("failed", "left to Slurm", None, 0.0, interrupted=True)
        outcome = self._job.poll()
        return None if outcome is None else self._settled(outcome)

    def wait(self) -> Outcome:
        return self._settled(self._job.wait())

    def _settled(self, outcome: Outcome) -> Outcome:
        return Outcome(**outcome.value) if outcome.status == "ok" else settle(self._task, outcome)

    def ask_to_leave(self) -> None:
        self._left = True

    def abandon(self) -> None:
        pass
