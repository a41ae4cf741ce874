"""fastbs advise: which batch size?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from fastbs.cli.options import output_format
from fastbs.cli.pilot import is_images, make_records, pilot_options
from fastbs.cli.quantities import Duration, Energy, MemorySize
from fastbs.rendering.advice import render_advice
from fastbs.results.files import require_writable, write_json


@click.command()
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--deadline", type=Duration(), help="Training time to the target at most: 10m, 8h.")
@click.option("--max-memory", type=MemorySize(), help="Peak memory at most: 80G.")
@click.option("--max-energy", type=Energy(), help="Energy to the target at most: 5kJ, 2Wh.")
@click.option("--images", type=click.IntRange(1), help="Advise for so many training images, at as many epochs.")
@click.option("--on", type=click.Path(path_type=Path), help="Throughput bench of another machine: advise for that one.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the advice here, as JSON.")
@pilot_options
@output_format
def advise(
    records: tuple[Path, ...],
    target: float | None,
    deadline: float | None,
    max_memory: float | None,
    max_energy: float | None,
    images: int | None,
    on: Path | None,
    out: Path | None,
    style: str,
    **options: Any,
) -> None:
    """Recommend a batch size from RECORDS: a sweep to a target, or a pilot with its noise scale and a throughput bench.

    From a folder of images it makes these two first, within --budget; the settings of a training are for that.

    Exit codes: 0 recommended · 1 no size keeps the limits; says what would have to give · 2 bad input · 4 too little to
    go by; says what to run next.
    """
    from fastbs.sweeps.advise import advise as make_advice

    if any(map(is_images, records)):
        options |= {"target": target}
    records = make_records(records, options)
    if out:
        require_writable(out)
    document = make_advice(
        records,
        target=target,
        deadline=deadline,
        max_memory=max_memory,
        max_energy=max_energy,
        images=images,
        on=on,
        file=str(out or "advice.json"),
    )
    if out:
        write_json(out, document)
    click.echo(render_advice(document, style))
    sys.exit(document["exit_code"])
