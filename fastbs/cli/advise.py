"""fastbs advise: which batch size?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from fastbs.cli.options import BatchSizes, output_format
from fastbs.cli.pilot import is_images, make_records, pilot_options
from fastbs.cli.quantities import Duration, Energy, MemorySize
from fastbs.errors import BadInput
from fastbs.rendering.advice import render_advice
from fastbs.rendering.scale import render_scale
from fastbs.results.files import require_writable, write_json


@click.command()
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--deadline", type=Duration(), help="Training time to the target at most: 10m, 8h.")
@click.option("--max-memory", type=MemorySize(), help="Peak memory at most: 80G.")
@click.option("--max-energy", type=Energy(), help="Energy to the target at most: 5kJ, 2Wh.")
@click.option("--latency", type=Duration(), help="Of exported nets: 99th percentile at most, for inference: 5ms.")
@click.option("--images", type=click.IntRange(1), help="Advise for so many training images, at as many epochs.")
@click.option("--on", type=click.Path(path_type=Path), help="Throughput bench of another machine: advise for that one.")
@click.option("--gpus", type=BatchSizes(), help="Instead: time to the target on so many GPUs, on paper: 1..4096x2.")
@click.option("--link", type=MemorySize(), help="With --gpus: bytes/s between each of them and the others: 50GB.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the advice here, as JSON.")
@pilot_options
@output_format
def advise(
    records: tuple[Path, ...],
    target: float | None,
    deadline: float | None,
    max_memory: float | None,
    max_energy: float | None,
    latency: float | None,
    images: int | None,
    on: Path | None,
    gpus: tuple[int, ...] | None,
    link: float | None,
    out: Path | None,
    style: str,
    **options: Any,
) -> None:
    """Recommend a batch size from RECORDS: a sweep to a target, or a pilot with its noise scale and a throughput bench.

    From a folder of images it makes these two first, within --budget; the settings of a training are for that.
    --latency says which batch sizes the sweep's exported nets may be served at; see fastbs export.

    Exit codes: 0 recommended · 1 no size keeps the limits; says what would have to give · 2 bad input · 4 too little to
    go by; says what to run next.
    """
    from fastbs.sweeps.advise import advise as make_advice

    if any(map(is_images, records)):
        options |= {"target": target}
    records = make_records(records, options)
    if out:
        require_writable(out)
    if gpus:
        others = {
            "deadline": deadline,
            "max-memory": max_memory,
            "max-energy": max_energy,
            "images": images,
            "on": on,
            "latency": latency,
        }
        for name, value in others.items():
            if value is not None:
                raise BadInput(
                    f"{name}: --gpus is on paper and knows no limits or other machines; leave one of them out"
                )
        click.echo(_on_many(records, gpus, link, target, out, style))
        return
    document = make_advice(
        records,
        target=target,
        deadline=deadline,
        max_memory=max_memory,
        max_energy=max_energy,
        latency=latency,
        images=images,
        on=on,
        file=str(out or "advice.json"),
    )
    if out:
        write_json(out, document)
    click.echo(render_advice(document, style))
    sys.exit(document["exit_code"])


def _on_many(
    records: tuple[Path, ...],
    gpus: tuple[int, ...],
    link: float | None,
    target: float | None,
    out: Path | None,
    style: str,
) -> str:
    """The table of time to the target against GPUs."""
    from fastbs.sweeps.scale import scale

    if link is None:
        raise BadInput("link: --gpus needs the bytes/s between the GPUs, as in --link 50GB")
    if style == "csv":
        raise BadInput("format: a table of GPUs is printed as table, markdown or json")
    document = scale(records, gpus, link, target=target)
    if out:
        write_json(out, document)
    return render_scale(document, style)
