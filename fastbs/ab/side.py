"""One side, in its own tree: `python -m fastbs.ab.side` makes the cells of a plan and measures them when told to.

Speaks JSON lines: what is asked on stdin, answered on stdout; what libraries print goes to stderr. It ends with its
stdin, and dies with its caller.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import fastbs
from fastbs import worker
from fastbs.bench.cells import Cell, make_cells
from fastbs.bench.measure import timed
from fastbs.bench.plan import BenchPlan
from fastbs.bench.rounds import measure_once
from fastbs.bench.setting import open_setting
from fastbs.errors import BadInput
from fastbs.worker.lifetime import die_with
from fastbs.worker.turns import VARIABLE

VERSION = 2  # of what is said; raised when a caller of before would misunderstand


class Side:
    """What this process answers, one method for each thing that can be asked."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._cells: list[Cell] = []

    def open(self, plan: dict[str, Any]) -> dict[str, Any]:
        """The cells of `plan` here, what they hold for, and where measured processes take their code from."""
        asked = BenchPlan.from_json(plan)
        setting = self._stack.enter_context(open_setting(asked))
        self._cells = [cell for cells in make_cells(asked, setting).values() for cell in cells]
        return {
            "version": VERSION,
            "code": str(code_folder()),
            "measured_code": measured_code(),
            "cells": [{"question": cell.question, "identity": cell.identity} for cell in self._cells],
            "settings": setting.describe(),
            "machine": setting.machine,
            "timed": timed(asked),
        }

    def measure(self, cell: int, round: int, turns: str) -> dict[str, Any]:
        """What became of one fresh process, which takes turns as `turns` says (see worker.turns)."""
        asked = self._cells[cell]
        return asdict(measure_once(replace(asked, env=asked.env | {VARIABLE: turns}), round))


def code_folder() -> Path:
    """The folder that holds the fastbs which runs here."""
    return Path(fastbs.__file__).resolve().parents[1]


def measured_code() -> list[str]:
    """What `code_folders` answers in a fresh process."""
    outcome = worker.call("fastbs.ab.side:code_folders", {})
    if outcome.status != "ok":
        raise RuntimeError(f"a fresh process {outcome.status}: {outcome.reason}")
    return list(outcome.value)


def code_folders() -> list[str]:
    """The folders that a measured process takes its modules of fastbs from; one, unless trees are mixed."""
    import fastbs.bench.training_step  # noqa: F401, so that there are modules of every room

    files = [
        getattr(module, "__file__", None) for name, module in sys.modules.items() if name.split(".")[0] == "fastbs"
    ]
    root = code_folder()
    return sorted({str(root if Path(file).resolve().is_relative_to(root) else file) for file in files if file})


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the caller's to handle: it ends us
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # on the way out, what is measured dies and files go
    die_with(int(sys.argv[1]))
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with ExitStack() as stack:
        side = Side(stack)
        for line in sys.stdin:
            request = json.loads(line)
            try:
                answer = {"value": getattr(side, request["ask"])(**request["arguments"])}
            except BadInput as error:
                answer = {"bad_input": str(error)}
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
