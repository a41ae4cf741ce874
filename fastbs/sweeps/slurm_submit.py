"""A batch job through submitit: what every job asks the cluster for, and what its script does."""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from fastbs.errors import BadInput
from fastbs.results.job_files import JobFiles
from fastbs.sweeps.executor import NoRoom
from fastbs.worker.environment import PACKAGE_PARENT
from fastbs.worker.job import INTERRUPTED

NOTICE = 90  # seconds between SIGUSR2 and the end of the job's time
# What the batch shell does when its step has ended: a run that was asked to leave, and saved itself, queues again.
REQUEUE = f'code=$?; [ $code -eq {INTERRUPTED} ] && scontrol requeue "$SLURM_JOB_ID"; exit $code'


@dataclass(frozen=True, kw_only=True)
class SlurmOptions:
    """What every job asks for; None leaves it to the cluster."""

    partition: str | None = None
    gpus_per_node: int | None = None
    cpus_per_task: int | None = None
    time: str | None = None  # as sbatch takes it: minutes, hours:minutes:seconds, days-hours
    container: str | None = None  # image for pyxis
    exclusive: bool = False  # whole nodes: only then do times count
    others: tuple[tuple[str, str], ...] = ()  # any option of sbatch: ("account", "vision")


def require_submitit() -> None:
    """BadInput where it is not installed."""
    if importlib.util.find_spec("submitit") is None:
        raise BadInput("executor: slurm needs submitit; pip install 'fastbs[slurm]' brings it")


def submit(files: JobFiles, name: str, options: SlurmOptions, needs: Iterable[str]) -> str:
    """Have Slurm answer the request in `files`; returns the job's number.

    `needs` are folders that the container must see, under the names that they have here. BadInput when Slurm is
    missing, NoRoom when sbatch refuses.
    """
    import submitit  # what few need
    from submitit.core.utils import FailedJobError

    try:
        executor = submitit.SlurmExecutor(folder=files.folder)
    except RuntimeError as error:
        raise BadInput("executor: there is no srun here; use a machine of the cluster") from error
    executor.update_parameters(
        job_name=name,
        partition=options.partition,
        gpus_per_node=options.gpus_per_node,
        cpus_per_task=options.cpus_per_task,
        exclusive=options.exclusive or None,
        signal_delay_s=NOTICE,
        stderr_to_stdout=True,
        wckey=None,
        srun_args=_srun(options, needs),
        setup=None if options.container else [f"export PYTHONPATH={shlex.quote(PACKAGE_PARENT)}:$PYTHONPATH"],
        teardown=[REQUEUE],
        additional_parameters={
            "requeue": True,
            **({"time": options.time} if options.time else {}),
            **dict(options.others),
        },
    )
    python = "python3" if options.container else sys.executable
    command = shlex.join([python, "-P", "-m", "fastbs.worker.job", str(files.folder), files.name])
    try:
        # Not `submit`: a pickle would travel with the job, and the container would need submitit to read it.
        return str(executor._submit_command(command).job_id)
    except FailedJobError as error:
        raise NoRoom(f"executor: sbatch refused: {str(error).strip().splitlines()[-1]}") from error


def _srun(options: SlurmOptions, needs: Iterable[str]) -> list[str]:
    # from 22.05 on srun does not take the number of cores over from sbatch
    found = [f"--cpus-per-task={options.cpus_per_task}"] if options.cpus_per_task else []
    if options.container:
        here = os.getcwd()
        mounts = ",".join(f"{place}:{place}" for place in dict.fromkeys([here, *needs]))
        found += [f"--container-image={options.container}", f"--container-mounts={mounts}"]
        found += [f"--container-workdir={here}"]
    return found
