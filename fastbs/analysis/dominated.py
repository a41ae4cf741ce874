"""Batch sizes that cannot be the fastest to the target any more, from the runs so far."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SPREAD = 0.25  # standard deviation of log seconds expected at first: that of MLPerf's widest workload (UNet-3D)
WORTH = 2  # runs that this expectation counts for against the spread that is seen
SIGMAS = 2.0
ROUNDING = 1e-9


@dataclass(frozen=True)
class Race:
    """Training seconds to the target by batch size and run; None where a run was not there when it ended."""

    seconds: Mapping[int, Sequence[float | None]]

    @property
    def leader(self) -> int | None:
        """The size with the least geometric mean among those whose every run arrived; None before the first."""
        arrived = {size: _mean(times) for size, times in self.seconds.items() if times and None not in times}
        return min(arrived, key=lambda size: (arrived[size], size), default=None)

    @property
    def limit(self) -> float | None:
        """Seconds after which a run is not worth going on: too much for a size with one run."""
        return None if self.leader is None else self.margin(1) * _mean(self.seconds[self.leader])

    @property
    def spread(self) -> float:
        """Standard deviation of log seconds between runs of a size: what is seen, mixed with what is expected."""
        logs = [[math.log(time) for time in times if time is not None] for times in self.seconds.values()]
        squares = sum((log - math.fsum(own) / len(own)) ** 2 for own in logs for log in own)
        seen = sum(len(own) - 1 for own in logs if own)
        return math.sqrt((WORTH * SPREAD**2 + squares) / (WORTH + seen))

    def margin(self, runs: int) -> float:
        """How many times the best time is too much, when both sizes have so many runs; at first 2.03 for one."""
        return math.exp(SIGMAS * self.spread * math.sqrt(2 / runs))

    def dominated_by(self, size: int) -> int | None:
        """The leader, where `size` is slower by more than chance explains; None where it may still win.

        A run that did not arrive took longer than the limit, so it counts as such.
        """
        times, leader, limit = self.seconds.get(size, ()), self.leader, self.limit
        if leader is None or limit is None or size == leader or not times:
            return None
        own = _mean([limit if time is None else time for time in times])
        runs = min(len(times), len(self.seconds[leader]))
        too_much = self.margin(runs) * _mean(self.seconds[leader])
        return leader if own >= too_much * (1 - ROUNDING) else None


def _mean(times: Sequence[float | None]) -> float:
    known = [time for time in times if time is not None]
    return math.exp(math.fsum(map(math.log, known)) / len(known))
