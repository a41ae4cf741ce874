"""The benchmarks of a pytest-benchmark file of anybody's, as what can be compared."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from fastbs.analysis.comparison.machine_facts import Fact
from fastbs.analysis.comparison.records import Key, Record, Sample, Side
from fastbs.analysis.comparison.start import start_of
from fastbs.results.checked import Checked
from fastbs.results.measurement_files import MeasurementFile

BATCH_SIZE = ("batch_size", "bs", "batch")  # names of a parameter that is one
IQR_OF_SD = 1.349  # quartiles of a normal distribution lie so many standard deviations apart
ERROR_OF_MEDIAN = 1.2533  # sqrt(pi / 2), times sd / sqrt(n): likewise of a normal distribution
RECORDED = ("median", "iqr", "rounds", "min", "max", "mean", "stddev")


def foreign_side(file: MeasurementFile) -> Side:
    """One file as a side, of one process. BadInput names the benchmark and the key of what cannot be used."""
    document = Checked(file.document, file.name)
    benchmarks = list(document["benchmarks"].each())
    commit = document.get("commit_info")
    identifier = commit.get("id").known(Checked.text)
    return Side(
        files=(file.name,),
        records=tuple(map(_record, benchmarks, _keys(benchmarks))),
        workload={},
        machine=_facts(document.get("machine_info")),
        commit=None if identifier == "unversioned" else identifier,
        dirty=commit.get("dirty").known(Checked.flag),
        starts=(start_of(document),),
    )


def _keys(benchmarks: Sequence[Checked]) -> list[Key]:
    """The full name, or a batch size on the curve of its test where no other benchmark has the same place there."""
    names = Counter(benchmark["fullname"].text() for benchmark in benchmarks)
    for benchmark in benchmarks:
        if names[benchmark["fullname"].value] > 1:
            raise benchmark["fullname"].refused("another benchmark has the same name")
    places = [_place_on_curve(benchmark) for benchmark in benchmarks]
    taken = Counter(places)
    return [
        _key(benchmark["fullname"].value) if place is None or taken[place] > 1 else place
        for benchmark, place in zip(benchmarks, places, strict=True)
    ]


def _place_on_curve(benchmark: Checked) -> Key | None:
    """The test's name with its other parameters, and the batch size; None for a test without one.

    bench/test_net.py::test_step[fp32-8] with parameters precision and batch_size becomes
    bench/test_net.py::test_step[precision=fp32] at 8.
    """
    parameters = benchmark.get("params").value
    if not isinstance(parameters, dict) or any(isinstance(value, list | dict) for value in parameters.values()):
        return None
    name = next((name for name in BATCH_SIZE if type(parameters.get(name)) is int), None)
    if name is None:
        return None
    size = benchmark["params"][name].count()
    test = benchmark["fullname"].text().removesuffix(f"[{benchmark.get('param').value}]")
    others = ", ".join(f"{other}={value}" for other, value in sorted(parameters.items()) if other != name)
    curve = replace(benchmark["params"], value=f"{test}[{others}]" if others else test)
    return (*_key(curve.text()), ("batch_size", size))


def _key(fullname: str) -> Key:
    return (("question", "benchmark"), ("fullname", fullname))


def _record(benchmark: Checked, key: Key) -> Record:
    stats = benchmark["stats"].within(benchmark["fullname"].text())
    median = stats["median"].positive()
    exact = tuple(stats.get(name).known(Checked.number) for name in RECORDED)
    return Record(key, samples={"seconds": Sample((median,), _within(stats, median), exact)})


def _within(stats: Checked, median: float) -> float | None:
    """Relative standard error of the median of the rounds, from their quartiles; None where nothing tells.

    A lower bound: rounds of one process follow each other and are not independent.
    """
    rounds, spread = stats.get("rounds").known(Checked.count), stats.get("iqr").known(Checked.zero_or_more)
    if rounds is None or spread is None:
        seconds = [time.positive() for time in stats.get("data").each()]
        rounds, spread = len(seconds), _quartile_range(seconds)
    return ERROR_OF_MEDIAN * spread / IQR_OF_SD / math.sqrt(rounds) / median if rounds > 1 else None


def _quartile_range(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, method="inclusive")
    return high - low


def _facts(machine: Checked) -> dict[str, Fact]:
    """What pytest-benchmark says of a machine; its name is no fact, since every runner has its own."""
    system = (machine.get(name).known(Checked.text) for name in ("system", "machine"))
    return {
        "cpu": machine.get("cpu").get("brand_raw").scalar(),
        "python": machine.get("python_version").scalar(),
        "system": " ".join(part for part in system if part) or None,
    }
