"""fastbs train: one run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from fastbs import config
from fastbs.cli.options import experiment_options, given, out_option
from fastbs.rendering.run import render_run
from fastbs.sweeps.single import train as run_one
from fastbs.worker.ranks import own_rank


@click.command()
@click.argument("data", type=click.Path(path_type=str))
@click.option("--batch-size", type=int, help="Images per weight update.")
@click.option("--seed", type=int, help="Initial weights and order of images.")
@experiment_options
@click.option("--gpus", type=click.IntRange(1), help="GPUs of this machine that share every batch; see torchrun too.")
@out_option
@click.option("--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True)
def train(data: str, gpus: int | None, out: Path | None, style: str, **options: Any) -> None:
    """Train on DATA once. The same command continues a run that was cut off. Exit code 1 when the run is not ok.

    `torchrun --nproc-per-node N -m fastbs train DATA ...` makes one run of N processes; --batch-size is that of all.
    """
    run = config.run_config(data, given(options), "options")
    folder = out or Path("runs") / f"{Path(data).resolve().name}-b{run.batch_size}-s{run.seed}"
    document = run_one(run, folder, gpus)
    if (rank := own_rank()) is None or rank.rank == 0:
        click.echo(render_run(document, style))
    sys.exit(0 if document["status"] == "ok" else 1)
