"""What is compared: the rows of one side, whatever kind of file they came from."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

Key = tuple[tuple[str, Hashable], ...]  # (name, value) of each setting that identifies a row, in a fixed order


@dataclass(frozen=True)
class Sample:
    """One metric of one row on one side: a value from each process, in the metric's unit, in any order.

    `within` is the relative standard error that each value has by what happened inside its process (None: not known).
    `exact` is what makes two samples the same measurement and not merely equal: everything that was recorded for them.
    A run that did not reach its target is `math.inf` seconds. `labels` (seeds) and `files` (indices into those of the
    side) belong to the values one by one; empty where they are not known.
    """

    values: tuple[float, ...]
    within: float | None = None
    exact: Hashable = None
    labels: tuple[Hashable, ...] = ()
    files: tuple[int, ...] = ()
    resolution: float = 0.0  # smallest standard deviation that is believed, in the unit of the values

    @property
    def processes(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Record:
    """One row of one side. A row that is not "ok" may have fewer samples, or none."""

    key: Key  # batch_size is its last entry, where there is one
    status: str = "ok"
    reason: str | None = None
    samples: Mapping[str, Sample] = field(default_factory=dict)  # by metric, a name in METRICS
    clock_mhz: float | None = None
    throttled_share: float | None = None

    @property
    def batch_size(self) -> int | None:
        size = dict(self.key).get("batch_size")
        return size if isinstance(size, int) else None

    @property
    def curve(self) -> Key:
        """The key without the batch size: records that share it lie on one curve."""
        return tuple(entry for entry in self.key if entry[0] != "batch_size")


@dataclass(frozen=True)
class Start:
    """When and where the processes of a file began."""

    first: float  # seconds since 1970
    last: float
    machine: str | None  # its name; another name is another machine, or the same one set up anew


@dataclass(frozen=True)
class Side:
    """All that one side of a comparison measured: records (no two with one key), and what they hold for."""

    files: tuple[str, ...]  # as the user named them
    records: tuple[Record, ...]
    workload: Mapping[str, Any]  # what every number depends on and no key names: image size, threads, protocol, ...
    machine: Mapping[str, Any]  # flat facts by the name that --allow takes: gpu, driver, torch, cpu, ...; None: unknown
    commit: str | None = None
    dirty: bool | None = None
    curves: Mapping[Key, Mapping[str, Any]] = field(default_factory=dict)  # what the file says of each curve
    starts: tuple[Start | None, ...] = ()  # of each of `files`; None: unknown
