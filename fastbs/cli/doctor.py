"""fastbs doctor: what this machine has."""

from __future__ import annotations

import click

from fastbs.measurement.machine import machine, missing
from fastbs.rendering.machine import render_machine
from fastbs.results.files import dump_json


@click.command()
@click.option("--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True)
def doctor(style: str) -> None:
    """Say what this machine has, what is missing, and what it would bring."""
    block, absent = machine(), missing()
    if style == "json":
        click.echo(dump_json({"schema": 1, "kind": "machine", "machine": block, "missing": absent}), nl=False)
    else:
        click.echo(render_machine(block, absent))
