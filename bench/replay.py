"""Hand measured times to pytest-benchmark as if they were being measured: its statistics, its files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


class ReplayClock:
    """A timer that stands still but for `advance`; its repr is stable, because pytest-benchmark stores it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def __repr__(self) -> str:
        return "fastbs.bench.replay.CLOCK"


CLOCK = ReplayClock()


def replay(benchmark: Any, seconds: Sequence[float]) -> None:
    """Give every value to `benchmark` (pytest-benchmark's fixture with CLOCK as its timer) as a round of its own."""
    left: Iterator[float] = iter(seconds)

    def advance() -> None:
        CLOCK.now += next(left)

    CLOCK.now = 0.0  # differences of small numbers keep their digits
    benchmark.pedantic(advance, rounds=len(seconds), iterations=1)
