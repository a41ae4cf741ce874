"""fastbs export: trained runs as ONNX files and TensorRT engines."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fastbs.cli.bench_options import Names
from fastbs.cli.options import BatchSizes, output_format
from fastbs.deployment.batch_range import batch_range
from fastbs.deployment.jobs import export_all
from fastbs.rendering.artifacts import render_exports


@click.command()
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--to",
    type=click.Choice(["onnx", "torch-tensorrt", "tensorrt", "tensorrt-rtx"]),
    default="onnx",
    show_default=True,
)
@click.option("--precision", type=click.Choice(["fp32", "fp16", "bf16"]), default="fp16", show_default=True)
@click.option(
    "--batch-sizes",
    type=BatchSizes(),
    default=(1, 32, 128),
    help="Sizes to serve: all from the smallest to the largest, or see --profiles.  [default: 1,32,128]",
)
@click.option("--opt", type=int, help="Size that engines are tuned for.  [default: the largest up to 32]")
@click.option(
    "--profiles",
    type=click.Choice(["one", "each"]),
    default="one",
    show_default=True,
    help="Engines: one profile for all sizes, or one tuned for each of --batch-sizes, which are then the only ones.",
)
@click.option(
    "--compute-capability",
    "capabilities",
    type=Names(),
    help="tensorrt-rtx: cards to build for, without one here: 8.6,12.0.  [default: the card that is here]",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder.  [default: deployed/ in each run's own folder]")
@output_format
def export(
    records: tuple[Path, ...],
    to: str,
    precision: str,
    batch_sizes: tuple[int, ...],
    opt: int | None,
    profiles: str,
    capabilities: tuple[str, ...] | None,
    out: Path | None,
    style: str,
) -> None:
    """Export RECORDS: trained runs, or sweeps, of which every run.

    Images and logits are fp32 whatever the net computes in; images are to be preprocessed as artifact.json says.
    Exit code 1 when an export failed. Next: fastbs check.
    """
    document = export_all(
        records,
        to=to,
        precision=precision,
        batch=batch_range(batch_sizes, opt, "each" if profiles == "each" else "one"),
        capabilities=capabilities or (),
        out=out,
        say=lambda text: click.echo(text, err=True),
    )
    click.echo(render_exports(document, style))
    sys.exit(0 if all(row["status"] == "ok" for row in document["artifacts"]) else 1)
