"""How far a bench is: a bar on a terminal, a line per process in a log. Always on stderr."""

from __future__ import annotations

import sys
from typing import Self

from tqdm import tqdm

from fastbs.bench.cells import Cell
from fastbs.worker import Outcome


class Progress:
    def __init__(self, processes: int) -> None:
        self._bar = tqdm(total=processes, unit="process", file=sys.stderr, disable=not sys.stderr.isatty())
        self._processes, self._done = processes, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def done(self, cell: Cell, outcome: Outcome) -> None:
        """One process has ended."""
        self._done += 1
        self._bar.set_postfix_str(f"{cell.id} {outcome.status}", refresh=False)
        self._bar.update()
        if self._bar.disable:
            ending = outcome.status if outcome.reason is None else f"{outcome.status}: {outcome.reason}"
            text = f"{self._done}/{self._processes} {cell.id}: {ending}, {outcome.seconds:.1f} s"
            print(text, file=sys.stderr, flush=True)
