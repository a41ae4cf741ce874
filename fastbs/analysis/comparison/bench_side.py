"""The rows of a bench file of fastbs, as what can be compared."""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from fastbs.analysis.bench_identity import IDENTITY
from fastbs.analysis.comparison.bench_workload import bench_workload
from fastbs.analysis.comparison.machine_facts import machine_facts
from fastbs.analysis.comparison.records import Key, Record, Sample, Side
from fastbs.analysis.comparison.start import start_of
from fastbs.analysis.latency_rows import summary
from fastbs.results.checked import Checked
from fastbs.results.measurement_files import MeasurementFile

MEMORY_KINDS = ("reserved_bytes", "allocated_bytes", "nvml_bytes", "resident_bytes")  # the most telling first
ENDED_WELL = ("ok", "missed")  # a target that was not reached is a result


def bench_side(file: MeasurementFile) -> Side:
    """One bench file as a side. BadInput names the row and the key of what cannot be used.

    Processes keep the file's order, in which those of different batch sizes belong to the same rounds.
    """
    bench = Checked(file.document, file.name)["fastbs"]
    records: dict[Key, Record] = {}
    for row in bench["rows"].each():
        record = _record(row)
        if record.key in records:
            raise _named(row, record.key).refused("a second row of the same settings")
        records[record.key] = record
    source = bench.get("machine").get("software").get("source")
    return Side(
        files=(file.name,),
        records=tuple(records.values()),
        workload=bench_workload(bench),
        machine=machine_facts(bench.get("machine"), device=bench.get("settings").get("device").known(Checked.text)),
        commit=source.get("commit").known(Checked.text),
        dirty=source.get("dirty").known(Checked.flag),
        curves=dict(_curves(bench.get("curves"))),
        starts=(start_of(Checked(file.document, file.name)),),
    )


def _record(row: Checked) -> Record:
    key = _key(row, IDENTITY.get(row["question"].text(), ()))
    row = _named(row, key)
    status = row["status"].text()
    return Record(
        key=key,
        status="ok" if status in ENDED_WELL else status,
        reason=row.get("reason").known(Checked.text),
        samples=dict(_samples(row, dict(key))),
        clock_mhz=row.get("sm_clock_mhz").known(Checked.positive),
        throttled_share=row.get("throttled_share").known(Checked.zero_or_more),
    )


def _named(row: Checked, key: Key) -> Checked:
    return row.within(" ".join(str(value) for _, value in key))


def _key(row: Checked, names: Sequence[str]) -> Key:
    """The question and the settings of these names; the batch size comes last in `IDENTITY`."""
    if not names:
        raise row["question"].refused("a question that this version does not know")
    settings = ((name, row[name].count() if name == "batch_size" else row[name].scalar()) for name in names)
    return (("question", row["question"].text()), *settings)


def _samples(row: Checked, key: dict[str, Any]) -> Iterator[tuple[str, Sample]]:
    """Metrics and their samples. What a row has one value of for all its processes counts as measured by one."""
    processes = [tuple(block.positive() for block in blocks.each()) for blocks in row.get("block_seconds").each()]
    processes = [blocks for blocks in processes if blocks]  # trainings have none
    exact = tuple(sorted(processes))
    if processes:
        seconds = [statistics.median(blocks) for blocks in processes]
        if key["question"] == "update":
            yield "update_us", Sample(tuple(1e6 * each for each in seconds), _within(processes), exact)
        else:
            yield (
                "images_per_second",
                Sample(tuple(key["batch_size"] / each for each in seconds), _within(processes), exact),
            )
    if key["question"] == "inference":
        yield from _latencies(row)
    if key["question"] == "accuracy":
        yield from _trainings(row)
    held = [row.get("memory").get(kind).known(Checked.zero_or_more) for kind in MEMORY_KINDS]
    for metric, value in (
        ("memory_bytes", next((bytes for bytes in held if bytes is not None), None)),
        ("energy_joules_per_image", row.get("energy_joules_per_image").known(Checked.zero_or_more)),
    ):
        if value:
            yield metric, Sample((value,), within=0.0, exact=(value, exact))


def _latencies(row: Checked) -> Iterator[tuple[str, Sample]]:
    """Percentiles of each process by itself; the 99th only where each has calls enough."""
    processes = [tuple(call.positive() for call in calls.each()) for calls in row.get("latency_samples_ms").each()]
    found = [summary(calls) for calls in processes if calls]
    for percentile in ("p50_ms", "p99_ms"):
        values = [of_process[percentile] for of_process in found]
        if values and None not in values:
            yield f"latency_{percentile}", Sample(tuple(values), exact=tuple(sorted(processes)))


def _trainings(row: Checked) -> Iterator[tuple[str, Sample]]:
    times = [time.known(Checked.positive) for time in row["seconds_to_target"].each()]
    top1 = [value.fraction() for value in row.get("top1_by_process").each()]
    exact: Hashable = (*(row.get(name).scalar() for name in ("top1", "train_seconds")), tuple(times))
    if times:
        yield "time_to_target_s", Sample(tuple(math.inf if time is None else time for time in times), exact=exact)
    if top1:
        yield "top1", Sample(tuple(top1), exact=exact)


def _within(processes: Sequence[Sequence[float]]) -> float | None:
    """Relative standard error of a process's value, from the spread of its blocks; None where one has no spread.

    A lower bound: blocks of one process follow each other and are not independent. Over processes, the root of the mean
    square.
    """
    if any(len(blocks) < 2 for blocks in processes):
        return None
    return math.sqrt(math.fsum(map(_squared_error, processes)) / len(processes))


def _squared_error(blocks: Sequence[float]) -> float:
    mean = math.fsum(blocks) / len(blocks)
    variance = math.fsum((block / mean - 1) ** 2 for block in blocks) / (len(blocks) - 1)
    return variance / len(blocks)


def _curves(curves: Checked) -> Iterator[tuple[Key, dict[str, Any]]]:
    """What the file says of each curve, by its rows' key without the batch size."""
    for curve in curves.each():
        names = [name for name in IDENTITY.get(curve["question"].text(), ()) if name != "batch_size"]
        yield (
            _key(curve, names),
            {
                "knee": curve.get("knee").known(Checked.number),
                "within_5_percent": curve.get("within_5_percent").known(Checked.count),
            },
        )
