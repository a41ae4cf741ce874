"""Sessions: files of one machine that were measured within an hour of each other share its luck of that time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fastbs.analysis.comparison.records import Sample, Side, Start

GAP = 3600.0  # seconds between two starts of one session, at most


@dataclass(frozen=True)
class Sessions:
    """The number of the session of each file of base and of head; equal numbers are one session."""

    of_files: tuple[tuple[int, ...], tuple[int, ...]]

    @classmethod
    def of(cls, base: Side, head: Side) -> Sessions | None:
        """None unless all files of both sides say when they were measured."""
        starts = [*base.starts, *head.starts]
        known = [start for start in starts if start is not None]
        if not base.starts or not head.starts or len(known) < len(starts):
            return None
        numbers = session_numbers(known)
        return cls((tuple(numbers[: len(base.starts)]), tuple(numbers[len(base.starts) :])))

    def of_values(self, side: int, sample: Sample) -> tuple[int, ...] | None:
        """The session of each value; None where a value's file is not known. `side` is 0 for base, 1 for head."""
        if len(sample.files) != len(sample.values):
            return None
        return tuple(self.of_files[side][file] for file in sample.files)

    @property
    def distinct(self) -> tuple[frozenset[int], frozenset[int]]:
        base, head = map(frozenset, self.of_files)
        return base, head


def session_numbers(starts: Sequence[Start]) -> list[int]:
    """One number for each start: a session is on one machine and has no gap of more than an hour between starts."""
    order = sorted(range(len(starts)), key=lambda index: (str(starts[index].machine), starts[index].first))
    numbers, number = [0] * len(starts), -1
    machine, until = object(), -math.inf
    for index in order:
        start = starts[index]
        if start.machine != machine or start.first - until > GAP:
            number, machine, until = number + 1, start.machine, start.last
        until = max(until, start.last)
        numbers[index] = number
    return numbers


def left_over(base: Iterable[int], head: Iterable[int]) -> float:
    """How many times the variance of a session is in head - base, of means over values of these sessions.

    The sum over sessions of (share in base - share in head) squared: 0 where both sides have the same mix, 2 for one
    session a side.
    """
    counts = [Counter(side) for side in (base, head)]
    shares = [{number: count / counter.total() for number, count in counter.items()} for counter in counts]
    return math.fsum((shares[0].get(n, 0.0) - shares[1].get(n, 0.0)) ** 2 for n in shares[0].keys() | shares[1].keys())
