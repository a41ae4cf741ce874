"""fastbs bench: what each batch size costs, measured again and again in fresh processes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from fastbs.cli.bench_options import bench_options
from fastbs.cli.options import given, output_format
from fastbs.errors import BadInput
from fastbs.rendering.bench import render_bench
from fastbs.results.files import dump_json

NOTHING_MATCHED = 5


@click.command()
@click.argument("question", type=click.Choice(["throughput", "update", "data", "inference", "accuracy", "step", "all"]))
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED)
@bench_options
@click.option("--json", "file", type=click.Path(path_type=Path), help="File for the pytest-benchmark document.")
@click.option(
    "--processes", type=int, help="Fresh processes per row; 5 when the file is meant for compare. [default: 3]"
)
@click.option("--find-max", is_flag=True, default=None, help="Find the largest batch size that runs (throughput).")
@click.option(
    "--artifact",
    "artifacts",
    multiple=True,
    type=click.Path(path_type=str),
    help="Exported nets to measure beside torch (inference): an artefact, a run or a sweep; again for more.",
)
@click.option("--cuda-graph", is_flag=True, default=None, help="Capture passes and replay them (inference).")
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

        from fastbs.bench.artifacts import plan_artifacts, write_latencies
        from fastbs.bench.plan import QUESTIONS, BenchPlan
        from fastbs.bench.run import NothingMatched, run_bench
    except ModuleNotFoundError as error:
        if error.name not in ("pytest", "pytest_benchmark"):
            raise
        raise BadInput("fastbs bench: needs pytest-benchmark; pip install pytest-benchmark") from error
    if pytest_args and not pytest_args[0].startswith("-"):
        raise BadInput(f"{pytest_args[0]}: not an option; images are given with --data, options of pytest after --")
    questions = [name for name in QUESTIONS if name != "step"] if question == "all" else [question]
    plan = plan_artifacts(BenchPlan.from_json({"questions": questions, **given(options)}, "options"))
    try:
        document = run_bench(plan, file, pytest_args)
    except KeyboardInterrupt:
        raise click.Abort from None  # unlike a sweep, it begins anew
    except NothingMatched:
        click.echo(f"fastbs: no row matches {' '.join(pytest_args)}", err=True)
        sys.exit(NOTHING_MATCHED)
    measured = document["fastbs"]
    write_latencies(measured)
    click.echo(dump_json(document) if style == "json" else render_bench(measured, style), nl=style != "json")
    sys.exit(failed(measured))


def failed(document: dict[str, Any]) -> int:
    """Exit code of a bench: 1 when a row failed, or when none is ok."""
    statuses = [row["status"] for row in document["rows"]]
    return 1 if "failed" in statuses or "ok" not in statuses else 0
