"""Curves over batch sizes: as a whole, at their worst size, and where their ends and knees have moved."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastbs.analysis.comparison.estimate import Estimate
from fastbs.analysis.comparison.metrics import METRICS, Metric
from fastbs.analysis.comparison.names import name_of
from fastbs.analysis.comparison.options import Options
from fastbs.analysis.comparison.records import Key, Record, Sample, Side
from fastbs.analysis.comparison.samples import centre, estimate_of, same_measurement, scaled
from fastbs.analysis.comparison.verdict import CANNOT_TELL, SAME, as_change, doubted, is_same, verdict_of

FEWEST = 2  # batch sizes


@dataclass(frozen=True)
class Curve:
    """The records of each side by batch size, and the sizes at which both are measured."""

    key: Key
    metric: Metric
    base: Mapping[int, Record]
    head: Mapping[int, Record]

    @property
    def sizes(self) -> list[int]:
        return sorted(size for size in self.base.keys() & self.head.keys() if self._measured(size))

    def _measured(self, size: int) -> bool:
        records = self.base[size], self.head[size]
        if any(record.status != "ok" or self.metric.name not in record.samples for record in records):
            return False
        values = [record.samples[self.metric.name].values for record in records]
        return all(values) and math.inf not in (*values[0], *values[1])

    def samples(self, side: Mapping[int, Record]) -> list[Sample]:
        return [side[size].samples[self.metric.name] for size in self.sizes]


def compare_curves(
    base: Side,
    head: Side,
    rows: Sequence[Mapping[str, Any]],
    options: Options,
    limits: Mapping[str, float],
    flags: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Curves of the document, of at least two batch sizes that both sides have, in the order of `rows`.

    "change" is the geometric mean over the sizes, with a 95 % interval of its own; "worst" is the row of the size that
    lost most. "knee" and "within_5_percent" are what the files say of their curves.
    """
    found = []
    by_curve = _by_curve(rows)
    for curve in _curves(base, head, by_curve):
        if len(curve.sizes) < FEWEST:
            continue
        of_curve = by_curve[curve.key, curve.metric.name]
        said = [side.curves.get(curve.key, {}) for side in (base, head)]
        found.append(
            {
                "key": dict(curve.key),
                "name": name_of(curve.key),
                "metric": curve.metric.name,
                "batch_sizes": curve.sizes,
                "base": [centre(sample, curve.metric) for sample in curve.samples(curve.base)],
                "head": [centre(sample, curve.metric) for sample in curve.samples(curve.head)],
                **_mean_change(
                    curve, options, min(options.margin_of(curve.metric), limits.get(curve.metric.name, math.inf)), flags
                ),
                "worst": _worst([of_curve[size] for size in curve.sizes], curve.metric),
                **{name: _both([one.get(name) for one in said]) for name in ("knee", "within_5_percent")},
                "largest_ok": [_largest_ok(side) for side in (curve.base, curve.head)],
                "smallest_oom": [_smallest_oom(side) for side in (curve.base, curve.head)],
            }
        )
    return found


def _by_curve(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[Key, str], dict[int, Mapping[str, Any]]]:
    """Rows of ratio metrics by curve and metric, and then by batch size."""
    found: dict[tuple[Key, str], dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        if row["batch_size"] is not None and METRICS[row["metric"]].scale == "ratio":
            key = tuple(entry for entry in row["key"].items() if entry[0] != "batch_size")
            found.setdefault((key, row["metric"]), {})[row["batch_size"]] = row
    return found


def _curves(base: Side, head: Side, wanted: Iterable[tuple[Key, str]]) -> Iterator[Curve]:
    sides = []
    for side in (base, head):
        by_curve: dict[Key, dict[int, Record]] = {}
        for record in side.records:
            if record.batch_size is not None:
                by_curve.setdefault(record.curve, {})[record.batch_size] = record
        sides.append(by_curve)
    for key, metric in wanted:
        yield Curve(key, METRICS[metric], sides[0].get(key, {}), sides[1].get(key, {}))


def _mean_change(curve: Curve, options: Options, margin: float, flags: Sequence[dict[str, Any]]) -> dict[str, Any]:
    estimate, metric = _estimate(curve, options), curve.metric
    verdict = _verdict(curve, estimate, options, margin, flags)
    if estimate is None:
        return {"change": None, "interval": None, "verdict": verdict, "smallest_visible": None}
    return {
        "change": as_change(estimate.change, metric),
        "interval": [as_change(bound, metric) for bound in estimate.interval(options.alpha)],
        "verdict": verdict,
        "smallest_visible": as_change(estimate.smallest_visible(options.alpha), metric),
    }


def _verdict(
    curve: Curve, estimate: Estimate | None, options: Options, margin: float, flags: Sequence[dict[str, Any]]
) -> str:
    metric = curve.metric
    if all(
        same_measurement(before, after)
        for before, after in zip(curve.samples(curve.base), curve.samples(curve.head), strict=True)
    ):
        return SAME
    if estimate is None:
        return CANNOT_TELL
    if is_same(estimate, options.alpha, metric, margin):
        return SAME
    word = verdict_of(estimate, options.alpha, metric)
    clocks = _clocks(curve)
    return doubted(
        word, estimate, options.alpha, metric, margin=options.margin_of(metric), clocks=clocks, flags=flags
    ).word


def _clocks(curve: Curve) -> tuple[float, float] | None:
    """Geometric means over the sizes; None unless all are known."""
    base, head = ([side[size].clock_mhz or 0.0 for size in curve.sizes] for side in (curve.base, curve.head))
    return None if 0.0 in (*base, *head) else (statistics.geometric_mean(base), statistics.geometric_mean(head))


def _estimate(curve: Curve, options: Options) -> Estimate | None:
    """From each process's mean over the sizes where all sizes have the same processes, else from the rows.

    Noise that is known and not measured here may be one process's luck at all sizes: more sizes do not make it less.
    """
    sides = [curve.samples(side) for side in (curve.base, curve.head)]
    rows = [
        estimate_of(before, after, curve.metric, (*curve.key, ("batch_size", size)), options)
        for size, before, after in zip(curve.sizes, *sides, strict=True)
    ]
    known = [row for row in rows if row is not None]
    if len(known) < len(rows):
        return None
    measured = all(row.spread_from in ("processes", "pairs") for row in known)
    if measured and all(len({sample.processes for sample in samples}) == 1 for samples in sides):
        base, head = (_over_sizes(samples, curve.metric) for samples in sides)
        return estimate_of(base, head, curve.metric, curve.key, options)
    errors = [row.se for row in known]
    return Estimate(
        math.fsum(row.change for row in known) / len(known),
        (math.hypot(*errors) if measured else math.fsum(errors)) / len(known),
        min(row.df for row in known),
        known[0].spread_from,
    )


def _over_sizes(samples: Sequence[Sample], metric: Metric) -> Sample:
    """The i-th processes of all sizes belong to one round."""
    logs = [scaled(sample.values, metric) for sample in samples]
    return Sample(tuple(math.exp(math.fsum(values) / len(values)) for values in zip(*logs, strict=True)))


def _worst(rows: Sequence[Mapping[str, Any]], metric: Metric) -> dict[str, Any] | None:
    sign = 1 if metric.higher_is_better else -1
    known = [row for row in rows if row["change"] is not None]
    if not known:
        return None
    row = min(known, key=lambda row: sign * row["change"])
    return {name: row[name] for name in ("batch_size", "change", "interval")}


def _both(values: Sequence[Any]) -> list[Any] | None:
    return None if None in values else list(values)


def _largest_ok(side: Mapping[int, Record]) -> int | None:
    return max((size for size, record in side.items() if record.status == "ok"), default=None)


def _smallest_oom(side: Mapping[int, Record]) -> int | None:
    return min((size for size, record in side.items() if record.status == "oom"), default=None)
