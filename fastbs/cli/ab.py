"""fastbs ab: two commits or two settings, measured in turns and compared in pairs."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import click

from fastbs.cli.bench_options import QUESTION, bench_options, bench_plan, setting
from fastbs.cli.gate import gate_option, read_gate
from fastbs.cli.options import Share, output_format
from fastbs.errors import BadInput


@click.command()
@click.argument("base", required=False)
@click.argument("head", required=False)
@click.option("--a", "of_base", multiple=True, metavar="KEY=VALUE", help="A setting of BASE alone (repeatable).")
@click.option("--b", "of_head", multiple=True, metavar="KEY=VALUE", help="A setting of HEAD alone, as precision=fp32.")
@QUESTION
@bench_options
@click.option("--visible", type=Share(), default=0.03, help="Stop when such changes can be seen.  [default: 3%]")
@click.option("--max-minutes", type=click.FloatRange(0, min_open=True), default=20, show_default=True)
@click.option("--least", type=click.IntRange(2), default=8, show_default=True, help="Pairs to measure in any case.")
@click.option("--margin", type=Share(), default=0.03, help="Changes within it are called the same.  [default: 3%]")
@gate_option
@click.option("--json", "file", type=click.Path(path_type=Path), help="File for the comparison.")
@output_format
def ab(
    base: str | None,
    head: str | None,
    of_base: tuple[str, ...],
    of_head: tuple[str, ...],
    question: str,
    visible: float,
    max_minutes: float,
    least: int,
    margin: float,
    gate_file: Path | None,
    file: Path | None,
    style: str,
    **options: Any,
) -> None:
    """Compare two git refs, or two settings (--b precision=fp32), in alternating fresh processes.

    BASE and HEAD are branches, tags or commits; "." is the working tree as it is, and HEAD where only BASE is given.
    Each side runs its own code: that of the repository around the current folder.

    Exit codes: 0 passed · 1 slower or failed · 2 bad input · 3 not comparable.
    """
    from fastbs.ab.interleave import ALPHA, Stop
    from fastbs.ab.run import Arm, run_ab
    from fastbs.ab.worktree import HERE
    from fastbs.analysis.comparison.options import Options
    from fastbs.rendering.comparison import render_comparison
    from fastbs.results.files import require_writable, write_json

    refs = base or HERE, head or HERE
    settings = dict(map(setting, of_base)), dict(map(setting, of_head))
    if refs[0] == refs[1] and settings[0] == settings[1] and base is None:
        raise BadInput("ab: nothing differs; give two refs, or a setting of one side with --a or --b")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to end, as interrupted: trees and sides go first
    if file is not None:
        require_writable(file)
    names = [" ".join([ref, *said]) for ref, said in zip(refs, (of_base, of_head), strict=True)]
    if names[0] == names[1]:
        names = [f"{name} ({side})" for name, side in zip(names, ("A", "B"), strict=True)]
    arms = tuple(Arm(*each) for each in zip(names, refs, settings, strict=True))
    document, pairs = run_ab(
        (arms[0], arms[1]),
        bench_plan(question, options),
        folder=Path.cwd(),
        stop=Stop(visible=visible, seconds=60 * max_minutes, least=least),
        options=Options(margin=margin, alpha=ALPHA),
        gate=read_gate(gate_file),
        progress=lambda text: click.echo(text, err=True),
    )
    click.echo(f"{pairs.rounds} pairs in {pairs.seconds:.0f} s: {pairs.ended}", err=True)
    if file is not None:
        write_json(file, document)
    click.echo(render_comparison(document, style))
    sys.exit(document["gate"]["exit_code"])
