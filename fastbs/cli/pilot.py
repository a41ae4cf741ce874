"""Advice from images alone: what `fastbs advise` is told about the bench and the pilot that it makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fastbs import config
from fastbs.cli.options import BatchSizes, Command, experiment_options, given, weight_decay_rule
from fastbs.cli.quantities import Duration
from fastbs.errors import BadInput
from fastbs.results.sweep_folder import SweepFolder

RULES = {"sgd": "linear", "adamw": "sqrt"}


def pilot_options(command: Command) -> Command:
    """Only for a folder of images. `--target` is among them, and for records too."""
    command = experiment_options(command)
    for option in reversed(
        [
            click.option("--budget", type=Duration(), help="Of images alone: time for bench and pilot: 10m, 2h."),
            click.option("--batch-sizes", type=BatchSizes(), help="Sizes to time; default: powers of two."),
            click.option("--lr-rule", type=click.Choice(["linear", "sqrt", "beta2-halflife"]), help="From --lr-at on."),
            click.option("--lr-at", type=int, help="Batch size at which --lr holds; default: the pilot's."),
            weight_decay_rule,
            click.option("--pilot", type=click.Path(path_type=Path), help="Folder for them; default: runs/DATA-pilot."),
        ]
    ):
        command = option(command)
    return command


def is_images(path: Path) -> bool:
    """A folder that holds neither a sweep nor measurements."""
    return path.is_dir() and not SweepFolder(path).document.exists() and not any(path.glob("*.json"))


def make_records(records: tuple[Path, ...], options: dict[str, Any]) -> tuple[Path, ...]:
    """`records`; where they are one folder of images, what a bench and a pilot on them leave. BadInput for a mix."""
    asked = given(options)
    images = [path for path in records if is_images(path)]
    if not images:
        if asked:
            option = next(iter(asked)).replace("_", "-")
            raise BadInput(f"{option}: is for a folder of images; these records have been made")
        return records
    if len(records) > 1:
        raise BadInput(f"{images[0]}: holds no sweep of fastbs; give records, or one folder of images")
    if "budget" not in asked:
        raise BadInput(f"{images[0]}: holds no sweep of fastbs; for a folder of images give --budget, as in 2h")
    from fastbs.sweeps.pilot import make_pilot

    budget, sizes, folder = asked.pop("budget"), asked.pop("batch_sizes", ()), asked.pop("pilot", None)
    settings = {"lr_rule": RULES[asked.get("optimizer", "sgd")]} | asked
    experiment = config.sweep_config(str(images[0]), settings, "options")
    place = folder or Path("runs") / f"{images[0].resolve().name}-pilot"
    return tuple(make_pilot(experiment, tuple(sizes), budget, place, lambda text: click.echo(text, err=True)))
