"""From the files that a user named to one side of a comparison."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastbs.analysis.comparison.bench_side import bench_side
from fastbs.analysis.comparison.foreign_side import foreign_side
from fastbs.analysis.comparison.records import Key, Record, Sample, Side
from fastbs.analysis.comparison.sweep_side import sweep_side
from fastbs.errors import BadInput
from fastbs.results.checked import shown
from fastbs.results.measurement_files import MeasurementFile

READERS: Mapping[str, Callable[[MeasurementFile], Side]] = {
    "bench": bench_side,
    "foreign": foreign_side,
    "sweep": sweep_side,
}


def make_side(files: Sequence[MeasurementFile]) -> Side:
    """What these files measured together; their order does not matter.

    A row that several have, has the processes of all. BadInput when a value cannot be used, or when two files do not
    hold for the same workload and machine. They may be of different commits: then the side has none.
    """
    parts = [READERS[file.kind](file) for file in sorted(files, key=lambda file: file.name)]
    rows: dict[Key, list[Record]] = {}
    for number, part in enumerate(parts):
        for record in part.records:
            rows.setdefault(record.key, []).append(_of_file(record, number))
    times = Counter(key for part in parts for key in part.curves)
    return Side(
        files=tuple(part.files[0] for part in parts),
        records=tuple(_pooled(records) for records in rows.values()),
        workload=_agreed([(part.files[0], part.workload) for part in parts]),
        machine=_agreed([(part.files[0], part.machine) for part in parts]),
        commit=_same([part.commit for part in parts]),
        dirty=None if None in [part.dirty for part in parts] else any(part.dirty for part in parts),
        # what two files say of one curve does not hold for both together
        curves={key: said for part in parts for key, said in part.curves.items() if times[key] == 1},
        starts=tuple(start for part in parts for start in part.starts),
    )


def _of_file(record: Record, number: int) -> Record:
    """The same, with the file's number at each value."""
    samples = {
        metric: replace(sample, files=(number,) * len(sample.values)) for metric, sample in record.samples.items()
    }
    return replace(record, samples=samples)


def _agreed(said: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Every name that some file has, with the value in all of those; None where one of them does not know it."""
    agreed = {}
    for name in dict.fromkeys(name for _, facts in said for name in facts):
        values = [(file, facts[name]) for file, facts in said if name in facts]
        known = [(file, value) for file, value in values if value is not None]
        for file, value in known:
            if value != known[0][1]:
                there = f"{shown(known[0][1])} in {known[0][0]}"
                raise BadInput(f"{file}: {shown(name)} is {shown(value)}, {there}; give files that were measured alike")
        agreed[name] = known[0][1] if len(known) == len(values) else None
    return agreed


def _same(values: Sequence[str | None]) -> str | None:
    return values[0] if len(set(values)) == 1 else None


def _pooled(records: Sequence[Record]) -> Record:
    """One row that several files have: "ok" if it is in all of them, else as in the first where it is not."""
    bad = next((record for record in records if record.status != "ok"), records[0])
    clocks = [record.clock_mhz for record in records if record.clock_mhz is not None]
    metrics = dict.fromkeys(metric for record in records for metric in record.samples)
    return Record(
        key=bad.key,
        status=bad.status,
        reason=bad.reason,
        samples={
            metric: _joined([record.samples[metric] for record in records if metric in record.samples])
            for metric in metrics
        },
        clock_mhz=math.fsum(clocks) / len(clocks) if clocks else None,
        throttled_share=max((r.throttled_share for r in records if r.throttled_share is not None), default=None),
    )


def _joined(samples: Sequence[Sample]) -> Sample:
    """All their processes, file by file; `within` is the root of the mean square over them."""
    values = tuple(value for sample in samples for value in sample.values)
    squares = [len(sample.values) * sample.within**2 for sample in samples if sample.within is not None]
    return Sample(
        values,
        within=math.sqrt(math.fsum(squares) / len(values)) if len(squares) == len(samples) else None,
        exact=frozenset(sample.exact for sample in samples),
        labels=tuple(label for sample in samples for label in sample.labels),
        files=tuple(file for sample in samples for file in sample.files),
        resolution=max(sample.resolution for sample in samples),
    )
