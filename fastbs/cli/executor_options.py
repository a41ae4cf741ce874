"""Where the runs of a sweep are made, as options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from fastbs.sweeps.executor import Executor
from fastbs.sweeps.local import Local
from fastbs.sweeps.slurm import Slurm
from fastbs.sweeps.slurm_submit import SlurmOptions

Command = TypeVar("Command", bound=Callable[..., Any])
OF_SLURM = ("partition", "gpus_per_node", "cpus_per_task", "time", "container", "exclusive", "slurm")


class Setting(click.ParamType[tuple[str, str]]):
    """An option of sbatch and its value: `account=vision`."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        key, equals, said = value.partition("=")
        if not (key and equals):
            self.fail(f"{value!r} is no option of sbatch with its value; write account=vision", param, ctx)
        if key.removeprefix("--") == "array":
            self.fail("array: every run is a job of its own already", param, ctx)
        return key.removeprefix("--"), said


def executor_options(command: Command) -> Command:
    for option in reversed(
        [
            click.option("--executor", type=click.Choice(["local", "slurm"]), default="local", show_default=True),
            click.option("--workers", type=click.IntRange(1), help="Runs at a time here; default: one per GPU."),
            click.option("--partition", help="With --executor slurm, of every job."),
            click.option("--gpus-per-node", type=click.IntRange(1), help="Likewise; a run computes on one."),
            click.option("--cpus-per-task", type=click.IntRange(1), help="Likewise."),
            click.option("--time", help="Likewise, as sbatch takes it: 90, 8:00:00, 1-12."),
            click.option("--container", help="Likewise: image for pyxis, with fastbs in it."),
            click.option("--exclusive", is_flag=True, default=None, help="Likewise: whole nodes, so that times count."),
            click.option("--slurm", type=Setting(), multiple=True, help="Likewise, of sbatch: account=vision."),
        ]
    ):
        command = option(command)
    return command


def take_executor(options: dict[str, Any], say: Callable[[str], None]) -> Executor:
    """Take the options above out of all that were given, and make what they describe."""
    kind, workers = options.pop("executor"), options.pop("workers")
    asked = {name: options.pop(name) for name in OF_SLURM}
    given = [name for name, value in asked.items() if value not in (None, ())]
    if kind == "slurm":
        if workers:
            raise click.UsageError("--workers is for this machine; Slurm decides how many jobs run")
        return Slurm(SlurmOptions(others=asked.pop("slurm"), **asked | {"exclusive": bool(asked["exclusive"])}), say)
    if given:
        raise click.UsageError(f"--{given[0].replace('_', '-')} is for jobs; add --executor slurm")
    return Local(workers)
