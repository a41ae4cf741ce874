"""How far a run is: a bar on a terminal, a line per evaluation in a log. Always on stderr."""

from __future__ import annotations

import sys
from typing import Self

from tqdm import tqdm

from fastbs.results.record import Evaluation


class Progress:
    """`shown` is False on ranks that only take part."""

    def __init__(self, total: int, done: int, name: str, *, shown: bool = True) -> None:
        self._name, self._shown = name, shown
        bar = shown and sys.stderr.isatty()
        self._bar = tqdm(total=total, initial=done, desc=name, unit="update", disable=not bar)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def at(self, updates: int) -> None:
        self._bar.update(updates - self._bar.n)

    def show(self, evaluation: Evaluation) -> None:
        text = (
            f"loss {evaluation.train_loss:.3f}, training top1 {evaluation.train_top1:.3f}, top1 {evaluation.top1:.3f}"
        )
        self._bar.set_postfix_str(text)
        if self._shown and self._bar.disable:
            print(f"{self._name}: {evaluation.images:,} images, {text}", file=sys.stderr, flush=True)
