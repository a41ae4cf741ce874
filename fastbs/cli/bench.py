"""fastbs bench: what each batch size costs, measured again and again in fresh processes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from fastbs.cli.options import BatchSizes, output_format
from fastbs.errors import BadInput
from fastbs.rendering.bench import render_bench
from fastbs.results.files import dump_json

NOTHING_MATCHED = 5


class Names(click.ParamType[tuple[str, ...]]):
    """One or several of a kind, separated by commas."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        return value if isinstance(value, tuple) else tuple(dict.fromkeys(str(value).split(",")))


@click.command()
@click.argument("question", type=click.Choice(["throughput", "update", "data", "inference", "accuracy", "step", "all"]))
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED)
@click.option("--batch-sizes", type=BatchSizes(), help="1,2,4,8 or 8..1024x2 or both mixed.  [default: 1..8x2,32,128]")
@click.option("--data", type=click.Path(path_type=str), help="Folder of images; none: synthetic input.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="File for the pytest-benchmark document.")
@click.option("--model", "models", type=Names(), help="One or several: small, resnet18, ...; see fastbs train --help.")
@click.option("--precision", "precisions", type=Names(), help="fp32, tf32, bf16, fp16; one or several.")
@click.option("--loader", "loaders", type=Names(), help="dali, resident, torch, synthetic; one or several.")
@click.option("--step", "steps", type=Names(), help="eager, compile; one or both.")
@click.option("--allocator", "allocators", type=Names(), help="CPU: fastbs (ours), default (the C library's) or both.")
@click.option("--optimizer", type=click.Choice(["sgd", "adamw"]))
@click.option("--norm", type=click.Choice(["group", "batch", "none"]), help="Normalisation layers.")
@click.option("--image-size", type=int, help="Side of the images that the net sees, pixels.")
@click.option("--augment", type=click.Choice(["none", "crop-flip", "random-resized"]), help="Of real images.")
@click.option("--classes", type=int, help="Of synthetic input.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]))
@click.option("--threads", type=int, help="Compute threads.")
@click.option("--loader-threads", type=int)
@click.option(
    "--processes", type=int, help="Fresh processes per row; 5 when the file is meant for compare. [default: 3]"
)
@click.option("--blocks", type=int, help="Timed blocks in each process.  [default: 5]")
@click.option("--block-seconds", type=float, help="Their length, about.  [default: 0.5]")
@click.option("--find-max", is_flag=True, default=None, help="Find the largest batch size that runs (throughput).")
@click.option("--function", help="Your own step (question step): module:name or file.py:name; see fastbs.measure_step.")
@click.option("--target", type=float, help="Top1 to reach (accuracy).  [default: 0.75]")
@click.option("--epochs", type=float, help="At most so many (accuracy).  [default: 5]")
@click.option("--lr", type=float, help="Learning rate at every batch size (accuracy).  [default: 0.001]")
@output_format
def bench(question: str, pytest_args: tuple[str, ...], file: Path | None, style: str, **options: Any) -> None:
    """Measure QUESTION at every batch size; arguments after -- go to pytest (`-- -k batch_size`).

    Exit code 1 when a row failed or none is ok. Rows that ran out of memory are rows.
    """
    try:
        import pytest_benchmark  # noqa: F401, the plugin is loaded by name

        from fastbs.bench.plan import QUESTIONS, BenchPlan
        from fastbs.bench.run import NothingMatched, run_bench
    except ModuleNotFoundError as error:
        if error.name not in ("pytest", "pytest_benchmark"):
            raise
        raise BadInput("fastbs bench: needs pytest-benchmark; pip install pytest-benchmark") from error
    if pytest_args and not pytest_args[0].startswith("-"):
        raise BadInput(f"{pytest_args[0]}: not an option; images are given with --data, options of pytest after --")
    questions = [name for name in QUESTIONS if name != "step"] if question == "all" else [question]
    given = {key: list(value) if isinstance(value, tuple) else value for key, value in options.items()}
    given = {key: value for key, value in given.items() if value is not None}
    plan = BenchPlan.from_json({"questions": questions, **given}, "options")
    try:
        document = run_bench(plan, file, pytest_args)
    except KeyboardInterrupt:
        raise click.Abort from None  # unlike a sweep, it begins anew
    except NothingMatched:
        click.echo(f"fastbs: no row matches {' '.join(pytest_args)}", err=True)
        sys.exit(NOTHING_MATCHED)
    measured = document["fastbs"]
    click.echo(dump_json(document) if style == "json" else render_bench(measured, style), nl=style != "json")
    sys.exit(failed(measured))


def failed(document: dict[str, Any]) -> int:
    """Exit code of a bench: 1 when a row failed, or when none is ok."""
    statuses = [row["status"] for row in document["rows"]]
    return 1 if "failed" in statuses or "ok" not in statuses else 0
