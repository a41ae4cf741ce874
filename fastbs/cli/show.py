"""fastbs show: the table again."""

from __future__ import annotations

from pathlib import Path

import click

from fastbs.cli.options import output_format
from fastbs.rendering.summary import render_summary
from fastbs.results.sweep_folder import SweepFolder
from fastbs.sweeps.summary import summarize_folder


@click.command()
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path))
@output_format
def show(records: tuple[Path, ...], style: str) -> None:
    """Print the table of finished or running sweeps again; RECORDS are their folders."""
    if style in ("json", "csv") and len(records) > 1:
        raise click.UsageError(f"--format {style} prints one document: give one folder")
    for folder in records:
        click.echo(render_summary(summarize_folder(SweepFolder(folder)), style))
