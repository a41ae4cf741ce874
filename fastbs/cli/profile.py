"""fastbs profile: where the time of a step goes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import click

from fastbs.cli.bench import failed
from fastbs.cli.options import BatchSizes, given, out_option, output_format
from fastbs.errors import BadInput
from fastbs.rendering.profile import render_profile


@click.command()
@click.argument("data", required=False, type=click.Path(path_type=str))
@click.option("--batch-sizes", type=BatchSizes(), default="1,8,64", show_default=True, help="1,2,4,8 or 8..1024x2.")
@click.option("--tool", type=click.Choice(["torch", "nsys"]), help="A trace for Perfetto, or for Nsight Systems.")
@click.option("--model", help="small, resnet18, ...; see fastbs train --help.")
@click.option("--norm", type=click.Choice(["group", "batch", "none"]), help="Normalisation layers.")
@click.option("--image-size", type=int, help="Side of the images that the net sees, pixels.")
@click.option("--augment", type=click.Choice(["none", "crop-flip", "random-resized"]), help="Of real images.")
@click.option("--optimizer", type=click.Choice(["sgd", "adamw"]))
@click.option("--precision", type=click.Choice(["fp32", "tf32", "bf16", "fp16"]))
@click.option("--loader", type=click.Choice(["dali", "resident", "torch", "synthetic"]))
@click.option("--step", type=click.Choice(["eager", "compile"]), help="How a step is executed.")
@click.option("--classes", type=int, help="Of synthetic input.")
@click.option("--gpus", type=click.IntRange(1), default=1, help="GPUs of this machine that share every batch.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]))
@click.option("--threads", type=int, help="Compute threads.")
@click.option("--loader-threads", type=int)
@out_option
@output_format
def profile(
    data: str | None,
    tool: Literal["torch", "nsys"] | None,
    out: Path | None,
    style: str,
    model: str | None,
    precision: str | None,
    loader: str | None,
    step: str | None,
    gpus: int,
    **options: Any,
) -> None:
    """Time the step of a training on DATA (none: synthetic images), whole and in parts, and say what bounds it.

    --tool writes a trace per batch size into --out [default: runs/profile]; what a profiler times never enters the
    table, but for the card's idle time. Exit code 1 when a row failed or none is ok.
    """
    from fastbs.bench.plan import BenchPlan
    from fastbs.bench.profile import run_profile

    if tool is not None and out is None:
        out = Path("runs") / "profile"
    named = {"models": model, "precisions": precision, "loaders": loader, "steps": step}
    single = {name: [value] for name, value in named.items() if value is not None}
    if data is None and loader not in (None, "synthetic"):
        raise BadInput(f"loader: {loader} reads images; name their folder, fastbs profile DATA --loader {loader}")
    plan = BenchPlan.from_json({"data": data, **single, **given(options)}, "options")
    document = run_profile(plan, tool, out, lambda text: click.echo(text, err=True), gpus)
    click.echo(render_profile(document, style))
    sys.exit(failed(document))
