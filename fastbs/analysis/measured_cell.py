"""All that was measured for one row: a sample from each process that ended well, and what became of the others."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fastbs.analysis.interval import Interval
from fastbs.analysis.paired import paired_ratio
from fastbs.analysis.student_t import mean_interval

Sample = dict[str, Any]
CALLS, SECONDS, FAULTS, CLOCK = range(4)  # of a block


@dataclass(frozen=True)
class MeasuredCell:
    """`identity` names the row; each outcome is {"process", "status", "reason", "value": sample or None}.

    Outcomes of different cells with the same process number belong to one round. Their order does not matter.
    """

    question: str
    identity: Mapping[str, Any]
    outcomes: Sequence[Mapping[str, Any]]

    @cached_property
    def samples(self) -> dict[int, Sample]:
        """By process number, of those that are ok."""
        return {outcome["process"]: outcome["value"] for outcome in self._in_order if outcome["status"] == "ok"}

    @property
    def first_not_ok(self) -> Mapping[str, Any] | None:
        return next((outcome for outcome in self._in_order if outcome["status"] != "ok"), None)

    @property
    def ok(self) -> bool:
        """Every process was."""
        return self.first_not_ok is None

    @property
    def status_counts(self) -> dict[str, int]:
        return dict(Counter(outcome["status"] for outcome in self._in_order))

    @property
    def blocks(self) -> list[list[Any]]:
        """Those of all processes."""
        return [block for sample in self.samples.values() for block in sample["blocks"]]

    @property
    def block_seconds(self) -> list[list[float]]:
        """Seconds per call, one for each block, for each process."""
        return [_per_call(sample["blocks"]) for sample in self.samples.values()]

    @cached_property
    def seconds(self) -> dict[int, float]:
        """Seconds per call by process: the median over its blocks. Samples without blocks (trainings) have none."""
        return {
            process: statistics.median(_per_call(sample["blocks"]))
            for process, sample in self.samples.items()
            if sample["blocks"]
        }

    def values(self, get: Callable[[Sample], Any]) -> dict[int, Any]:
        """What `get` finds in the samples, by process, where it finds anything."""
        found = {process: get(sample) for process, sample in self.samples.items()}
        return {process: value for process, value in found.items() if value is not None}

    def median(self, get: Callable[[Sample], Any]) -> float | None:
        values = self.values(get)
        return float(statistics.median(values.values())) if values else None

    def first(self, name: str) -> Any:
        """Of what is the same in all processes: the value of the first that has it."""
        return next(iter(self.values(lambda sample: sample.get(name)).values()), None)

    def time_ratio(self, base: MeasuredCell) -> Interval | None:
        """Seconds per call over those of `base`, paired by round; None when no round has both."""
        return paired_ratio(self.seconds, base.seconds)

    @property
    def _in_order(self) -> list[Mapping[str, Any]]:
        return sorted(self.outcomes, key=lambda outcome: outcome["process"])


def geometric(values: Mapping[int, float]) -> Interval | None:
    """Geometric mean over processes with its 95 % t interval on logarithms; None without values. Values are above 0."""
    return mean_interval(map(math.log, values.values())).mapped(math.exp) if values else None


def estimate(interval: Interval | None, scale: float = 1.0) -> float | None:
    """The estimate in another unit."""
    return None if interval is None else scale * interval.estimate


def bounds(interval: Interval | None, scale: float = 1.0) -> list[float] | None:
    """[low, high] in another unit; None where nothing bounds the estimate."""
    return None if interval is None else interval.mapped(lambda value: scale * value).bounds()


def _per_call(blocks: Sequence[Sequence[Any]]) -> list[float]:
    return [block[SECONDS] / block[CALLS] for block in blocks]
