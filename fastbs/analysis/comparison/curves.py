"""Curves over batch sizes: as a whole, at their worst size, and where their ends and knees have moved."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
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
        return all(
            record.status == "ok"
            and math.inf not in (*self._values(record), *([] if self._values(record) else [math.inf]))
            for record in records
        )

    def _values(self, record: Record) -> tuple[float, ...]:
        return record.samples[self.metric.name].values if self.metric.name in record.samples else ()

    def samples(self, side: Mapping[int, Record]) -> list[Sample]:
        return [side[size].samples[self.metric.name] for size in self.sizes]


def compare_curves(
    base: Side, head: Side, rows: Sequence[Mapping[str, Any]], options: Options, flags: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Curves of the document, of at least two batch sizes that both sides have, in the order of `rows`.

    "change" is the geometric mean over the sizes, with a 95 % interval of its own; "worst" is the row of the size that
    lost most. "knee" and "within_5_percent" are what the files say of their curves.
    """
    found = []
    for curve in _curves(base, head, rows):
        if len(curve.sizes) < FEWEST:
            continue
        of_curve = {row["batch_size"]: row for row in rows if _is_on(row, curve)}
        said = [side.curves.get(curve.key, {}) for side in (base, head)]
        found.append(
            {
                "key": dict(curve.key),
                "name": name_of(curve.key),
                "metric": curve.metric.name,
                "batch_sizes": curve.sizes,
                "base": [centre(sample, curve.metric) for sample in curve.samples(curve.base)],
                "head": [centre(sample, curve.metric) for sample in curve.samples(curve.head)],
                **_mean_change(curve, options, flags),
                "worst": _worst([of_curve[size] for size in curve.sizes], curve.metric),
                **{name: _both([one.get(name) for one in said]) for name in ("knee", "within_5_percent")},
                "largest_ok": [_largest_ok(side) for side in (curve.base, curve.head)],
                "smallest_oom": [_smallest_oom(side) for side in (curve.base, curve.head)],
            }
        )
    return found


def _curves(base: Side, head: Side, rows: Sequence[Mapping[str, Any]]) -> Iterator[Curve]:
    """One for each curve and ratio metric among the rows."""
    sides = []
    for side in (base, head):
        by_curve: dict[Key, dict[int, Record]] = {}
        for record in side.records:
            if record.batch_size is not None:
                by_curve.setdefault(record.curve, {})[record.batch_size] = record
        sides.append(by_curve)
    wanted = {
        (tuple(entry for entry in row["key"].items() if entry[0] != "batch_size"), row["metric"]): None
        for row in rows
        if row["batch_size"] is not None and METRICS[row["metric"]].scale == "ratio"
    }
    for key, metric in wanted:
        yield Curve(key, METRICS[metric], sides[0].get(key, {}), sides[1].get(key, {}))


def _is_on(row: Mapping[str, Any], curve: Curve) -> bool:
    key = tuple(entry for entry in row["key"].items() if entry[0] != "batch_size")
    return key == curve.key and row["metric"] == curve.metric.name


def _mean_change(curve: Curve, options: Options, flags: Sequence[dict[str, Any]]) -> dict[str, Any]:
    estimate, metric = _estimate(curve, options), curve.metric
    verdict = _verdict(curve, estimate, options, flags)
    if estimate is None:
        return {"change": None, "interval": None, "verdict": verdict, "smallest_visible": None}
    return {
        "change": as_change(estimate.change, metric),
        "interval": [as_change(bound, metric) for bound in estimate.interval(options.alpha)],
        "verdict": verdict,
        "smallest_visible": as_change(estimate.smallest_visible(options.alpha), metric),
    }


def _verdict(curve: Curve, estimate: Estimate | None, options: Options, flags: Sequence[dict[str, Any]]) -> str:
    metric = curve.metric
    if all(
        same_measurement(before, after)
        for before, after in zip(curve.samples(curve.base), curve.samples(curve.head), strict=True)
    ):
        return SAME
    if estimate is None:
        return CANNOT_TELL
    if is_same(estimate, options.alpha, metric, options.margin):
        return SAME
    word = verdict_of(estimate, options.alpha, metric)
    return doubted(word, estimate, options.alpha, metric, margin=options.margin, clocks=None, flags=flags).word


def _estimate(curve: Curve, options: Options) -> Estimate | None:
    """From each process's mean over the sizes where all sizes have the same processes, else from the rows."""
    sides = [curve.samples(side) for side in (curve.base, curve.head)]
    if all(len({sample.processes for sample in samples}) == 1 for samples in sides):
        base, head = (_over_sizes(samples, curve.metric) for samples in sides)
        return estimate_of(base, head, curve.metric, curve.key, options)
    rows = [
        estimate_of(before, after, curve.metric, (*curve.key, ("batch_size", size)), options)
        for size, before, after in zip(curve.sizes, *sides, strict=True)
    ]
    known = [row for row in rows if row is not None]
    if len(known) < len(rows):
        return None
    return Estimate(
        math.fsum(row.change for row in known) / len(known),
        math.sqrt(math.fsum(row.se**2 for row in known)) / len(known),
        min(row.df for row in known),
        known[0].spread_from,
    )


def _over_sizes(samples: Sequence[Sample], metric: Metric) -> Sample:
    """The i-th processes of all sizes belong to one round. What one process varies within itself is the largest's."""
    logs = [scaled(sample.values, metric) for sample in samples]
    means = tuple(math.exp(math.fsum(values) / len(values)) for values in zip(*logs, strict=True))
    within = [sample.within for sample in samples if sample.within is not None]
    return Sample(means, within=max(within) if len(within) == len(samples) else None)


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
