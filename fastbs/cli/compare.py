"""fastbs compare: two sets of measurements, and whether a gate lets the second pass."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

import click

from fastbs.analysis.comparison.calibration import Calibration
from fastbs.analysis.comparison.compare import compare as compare_sides
from fastbs.analysis.comparison.gate import DEFAULT_GATE, Gate
from fastbs.analysis.comparison.options import Options
from fastbs.analysis.comparison.sides import make_side
from fastbs.cli.gate import gate_option, read_gate
from fastbs.cli.options import Share, output_format
from fastbs.cli.paths import paths_of
from fastbs.rendering.comparison import render_comparison
from fastbs.results.files import append_text, read_json
from fastbs.results.measurement_files import read_measurements


@click.command()
@click.argument("base", required=False)
@click.argument("head", required=False)
@gate_option
@click.option("--dump-gate", is_flag=True, help="Print the rules that hold without --gate, as a file to start from.")
@click.option("--self-test", is_flag=True, help="Prove that the gate can fail, on made-up measurements.")
@click.option("--noise-file", type=click.Path(path_type=Path), help="Noise of this machine, from fastbs calibrate.")
@click.option(
    "--noise", type=Share(), default=0.05, help="Assumed between two sessions where nothing tells.  [default: 5%]"
)
@click.option("--margin", type=Share(), default=0.03, help="Changes within it are called the same.  [default: 3%]")
@click.option("--metric", "metrics", multiple=True, help="Compare this metric (repeatable) instead of each row's own.")
@click.option("--allow", multiple=True, help="Compare although this differs: gpu, torch, workload, ... (repeatable).")
@click.option("--fail-on-cannot-tell", is_flag=True, help="Exit code 4 when a row of the gate cannot be told.")
@click.option("--key", default="default", show_default=True, help="Of the comment in a pull request that is replaced.")
@output_format
def compare(
    base: str | None,
    head: str | None,
    gate_file: Path | None,
    dump_gate: bool,
    self_test: bool,
    noise_file: Path | None,
    key: str,
    style: str,
    fail_on_cannot_tell: bool,
    **settings: Any,
) -> None:
    """Compare HEAD with BASE: each a bench or any pytest-benchmark file, a sweep, a folder of them, or a quoted glob.

    Several files of a side are several processes; seeds that both sweeps have are compared in pairs. The markdown also
    goes to $GITHUB_STEP_SUMMARY where that is set.

    Exit codes: 0 passed · 1 slower, missing or failed, as the gate says · 2 bad input · 3 not comparable (--allow) · 4
    cannot tell, where asked to fail on it · 5 nothing matched.
    """
    if dump_gate:
        click.echo(DEFAULT_GATE, nl=False)
        return
    gate = read_gate(gate_file)
    if fail_on_cannot_tell:
        gate = dataclasses.replace(gate, cannot_tell="fail")
    if self_test:
        sys.exit(_self_test(gate))
    if base is None or head is None:
        raise click.UsageError("give two: fastbs compare BASE HEAD")
    options = Options(
        calibration=Calibration.from_json(read_json(noise_file, "calibration"), str(noise_file))
        if noise_file
        else None,
        noise=settings["noise"],
        margin=settings["margin"],
        metrics=settings["metrics"] or None,
        allow=frozenset(name for given in settings["allow"] for name in given.split(",")),
    )
    sides = [make_side(read_measurements(paths_of(given))) for given in (base, head)]
    document = compare_sides(*sides, options=options, gate=gate)
    click.echo(render_comparison(document, style, key=key))
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        append_text(Path(summary), render_comparison(document, "markdown", key=key) + "\n")
    sys.exit(document["gate"]["exit_code"])


def _self_test(gate: Gate) -> int:
    """Print what the gate answers to made-up measurements; 1 unless every answer is the right one."""
    from fastbs.analysis.comparison.self_test import self_test

    wrong = 0
    for what, expected, got in self_test(gate):
        wrong += expected != got
        click.echo(f"{'ok   ' if expected == got else 'WRONG'} {what}: exit code {got}, expected {expected}")
    return 1 if wrong else 0
