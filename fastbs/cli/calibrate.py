"""fastbs calibrate: how much this machine varies by itself."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import click

from fastbs.cli.bench_options import QUESTION, bench_options, bench_plan
from fastbs.cli.options import output_format
from fastbs.cli.paths import paths_of


@click.command()
@click.argument("files", nargs=-1)
@QUESTION
@bench_options
@click.option("--pairs", type=click.IntRange(2), default=10, show_default=True)
@click.option("--sessions", is_flag=True, help="Read FILES of unchanged code from several days; measure nothing.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="File that fastbs compare takes as --noise-file.")
@output_format
def calibrate(
    files: tuple[str, ...],
    question: str,
    pairs: int,
    sessions: bool,
    file: Path | None,
    style: str,
    **options: Any,
) -> None:
    """Measure A against A: the noise of each row, and which changes can be seen with so many processes a side.

    For fastbs compare, which then knows how much to believe of files with one process a side. With --sessions FILES,
    which fastbs compare would take too, also how far two sessions of the machine lie apart.
    """
    from fastbs.ab.calibrate import calibrate as run
    from fastbs.analysis.comparison.session_noise import session_calibration
    from fastbs.rendering.calibration import render_calibration
    from fastbs.results.files import require_writable, write_json
    from fastbs.results.measurement_files import read_measurements

    if sessions != bool(files):
        raise click.UsageError(
            "give --sessions and FILES together: fastbs calibrate --sessions monday.json tuesday.json"
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to end, as interrupted: trees and sides go first
    if file is not None:
        require_writable(file)
    if sessions:
        document = session_calibration(read_measurements([path for name in files for path in paths_of(name)]))
    else:
        document = run(
            bench_plan(question, options),
            folder=Path.cwd(),
            pairs=pairs,
            progress=lambda text: click.echo(text, err=True),
        )
    if file is not None:
        write_json(file, document)
    click.echo(render_calibration(document, style))
