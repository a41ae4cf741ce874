"""The gate of a comparison, as an option."""

from __future__ import annotations

from pathlib import Path

import click

from fastbs.analysis.comparison.gate import DEFAULT_GATE, Gate
from fastbs.results.files import read_text

gate_option = click.option(
    "--gate", "gate_file", type=click.Path(path_type=Path), help="Rules that HEAD must pass (TOML)."
)


def read_gate(file: Path | None) -> Gate:
    """The rules in `file`, or those that hold without one."""
    return Gate.parse(DEFAULT_GATE if file is None else read_text(file), str(file or "default gate"))
