"""fastbs sweep: batch sizes x seeds with controls."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click

from fastbs import config
from fastbs.cli.executor_options import executor_options, take_executor
from fastbs.cli.options import (
    BatchSizes,
    Rates,
    experiment_options,
    given,
    out_option,
    output_format,
    weight_decay_rule,
)
from fastbs.errors import BadInput
from fastbs.rendering.summary import render_summary
from fastbs.results.files import read_json
from fastbs.sweeps.sweep import sweep as run_sweep
from fastbs.worker import interruption


@click.command()
@click.argument("data", type=click.Path(path_type=str))
@click.option("--preset", help="demo or post: settings to start from; options override them.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="TOML file of settings, over the preset's.")
@click.option("--from-advice", "advice", type=click.Path(path_type=Path), help="Settings of an advice, over both.")
@click.option("--batch-sizes", type=BatchSizes(), help="1,2,4,8 or 8..1024x2.")
@click.option("--seeds", type=int, help="Runs per batch size, paired across sizes.")
@click.option(
    "--lr-rule",
    type=click.Choice(["constant", "linear", "sqrt", "beta2-halflife", "tuned"]),
    help="How the rate follows batch size; tuned: five trainings each.",
)
@click.option("--lrs", type=Rates(), help="The rate of each batch size: 1:1e-3,8:4e-3.")
@click.option("--lr-at", type=int, help="Batch size at which --lr holds; default: the smallest.")
@weight_decay_rule
@click.option("--controls/--no-controls", default=None, help="Same updates, scaled rate: runs that tell why.")
@click.option("--control-at", type=int, help="Batch size of the controls; default: the largest.")
@click.option(
    "--accuracy-margin", type=float, help="Loss of top1 that counts as none.  [default: 0.01, a percentage point]"
)
@click.option(
    "--stop-dominated",
    is_flag=True,
    default=None,
    help="With --until-target: stop runs and sizes that cannot be the fastest.",
)
@click.option("--images", type=int, help="Extrapolate to so many images ...")
@click.option("--hours", type=float, help="... that take so long at the smallest batch size.")
@click.option("--dry-run", is_flag=True, help="Say how many runs and hours, from a short probe, and stop.")
@experiment_options
@executor_options
@out_option
@output_format
def sweep(
    data: str,
    preset: str | None,
    file: Path | None,
    advice: Path | None,
    dry_run: bool,
    out: Path | None,
    style: str,
    **options: Any,
) -> None:
    """Train DATA at several batch sizes, with seeds and controls; print the table and test the post's claims.

    The same command continues a sweep that was cut off; jobs that Slurm has are waited for. Exit code 1
    when a run failed or none is ok.
    """
    executor = take_executor(options, lambda text: click.echo(text, err=True))
    settings = config.load_preset(preset) if preset else {}
    settings |= config.load_toml(file) if file else {}
    settings |= advised_settings(read_json(advice, "advice"), advice) if advice else {}
    settings |= given(options)
    if advice and "lrs" in settings:  # of more sizes than are to be verified
        settings["lrs"] = [pair for pair in settings["lrs"] if pair[0] in settings["batch_sizes"]]
    experiment = config.sweep_config(data, settings, str(advice or file or preset or "options"))
    folder = out or Path("runs") / (advice.stem if advice else preset or Path(data).resolve().name)
    if dry_run:
        from fastbs.sweeps.estimate import estimate

        click.echo(f"{estimate(experiment)}; resumable in {folder}")
        return
    interruption.listen()
    summary = run_sweep(experiment, folder, lambda text: click.echo(text, err=True), executor)
    click.echo(render_summary(summary, style))
    sys.exit(failed(summary))


def advised_settings(document: dict[str, Any], source: Path) -> dict[str, Any]:
    """The settings that an advice was made with, its sizes among them. BadInput where it recommends nothing."""
    if not isinstance(document.get("config"), dict) or not isinstance(document["config"].get("run"), dict):
        raise BadInput(f"{source}: recommends nothing that could be verified")
    return config.flat_settings(config.SweepConfig.from_json(document["config"], str(source)))


def failed(summary: dict[str, Any]) -> int:
    """Exit code of a sweep: 1 when a run failed, or when none is ok."""
    counts = Counter[str]()
    for row in summary["rows"] + summary["controls"]:
        counts.update(row["status_counts"])
    return 1 if counts["failed"] or not counts["ok"] else 0
