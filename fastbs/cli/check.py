"""fastbs check: is what was exported still the net that was trained?"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fastbs.cli.options import output_format
from fastbs.deployment.jobs import check_all
from fastbs.rendering.artifacts import render_checks


@click.command()
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), help="Images to check on.  [default: the run's own]")
@click.option("--run", type=click.Path(path_type=Path), help="The run, where it was moved away from its artefact.")
@click.option(
    "--limit", type=click.IntRange(1), help="Images at most, evenly spread.  [default: all; bf16 on a CPU: 200]"
)
@click.option("--max-flips", type=click.FloatRange(0, 1), help="Share of images that may get another class.")
@click.option("--max-error", type=click.FloatRange(0), help="Largest difference of a logit, in spreads of the logits.")
@click.option("--threads", type=click.IntRange(1), help="Compute threads.")
@output_format
def check(
    records: tuple[Path, ...],
    data: Path | None,
    run: Path | None,
    limit: int | None,
    max_flips: float | None,
    max_error: float | None,
    threads: int | None,
    style: str,
) -> None:
    """Check the artefacts in RECORDS (artefacts, runs, sweeps) against the runs they came from.

    Files by their hashes, then the answers on the validation images, then answers at several batch sizes. Allowed are,
    by precision: fp32 no flip (1 in 10,000) and an error of 1e-4; fp16 1 flip (0.1 %) and 1e-2; bf16 2 (0.5 %) and
    5e-2. Exit code 1 when a check failed or could not be made.
    """
    gate: dict[str, float] = {}
    if max_flips is not None:
        gate |= {"flips": 0, "flip_share": max_flips}
    if max_error is not None:
        gate |= {"error": max_error}
    document = check_all(
        records,
        run=run,
        data=data,
        limit=limit,
        gate=gate,
        threads=threads,
        say=lambda text: click.echo(text, err=True),
    )
    click.echo(render_checks(document, style))
    sys.exit(0 if all(row["status"] == "ok" for row in document["checks"]) else 1)
