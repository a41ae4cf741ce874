"""Curves over batch sizes: as a whole, at their worst size, and where their ends and knees have moved."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastbs.analysis.comparison.estimate import FEW, Estimate, welch
from fastbs.analysis.comparison.metrics import Metric
from fastbs.analysis.comparison.names import name_of
from fastbs.analysis.comparison.options import Options
from fastbs.analysis.comparison.records import Key, Record, Side
from fastbs.analysis.comparison.rows import Pairing
from fastbs.analysis.comparison.samples import centre, same_measurement
from fastbs.analysis.comparison.units import Units, scaled
from fastbs.analysis.comparison.verdict import CANNOT_TELL, SAME, as_change, doubted, is_same, verdict_of

FEWEST = 2  # batch sizes

CurveFacts = Mapping[Key, Mapping[str, Any]]  # what a side's files say of their curves


@dataclass(frozen=True)
class Curve:
    """One metric of the records that share a curve: each side by batch size, and the tests of its rows."""

    key: Key
    metric: Metric
    base: Mapping[int, Record]
    head: Mapping[int, Record]
    pairings: Mapping[int, Pairing]  # of the sizes at which both sides are measured
    estimate: Estimate | None = None

    @property
    def sizes(self) -> list[int]:
        return sorted(self.pairings)

    @property
    def p(self) -> float | None:
        return None if self.estimate is None else self.estimate.p


def find_curves(base: Side, head: Side, pairings: Sequence[Pairing]) -> list[Curve]:
    """Curves of ratio metrics that have at least two batch sizes on both sides, in the order of the rows."""
    before, after = _by_curve(base), _by_curve(head)
    rows: dict[tuple[Key, Metric], dict[int, Pairing]] = {}
    for pairing in pairings:
        size = (pairing.base or pairing.head or Record(())).batch_size
        if size is not None and pairing.metric.scale == "ratio":
            key = tuple(entry for entry in pairing.key if entry[0] != "batch_size")
            rows.setdefault((key, pairing.metric), {})[size] = pairing
    found = []
    for (key, metric), of_curve in rows.items():
        measured = {size: pairing for size, pairing in of_curve.items() if pairing.units is not None}
        if len(measured) >= FEWEST:
            curve = Curve(key, metric, before.get(key, {}), after.get(key, {}), measured)
            found.append(replace(curve, estimate=_estimate(curve)))
    return found


def make_curves(
    curves: Sequence[Curve],
    levels: Sequence[float | None],
    said: tuple[CurveFacts, CurveFacts],
    rows: Sequence[Mapping[str, Any]],
    options: Options,
    limits: Mapping[str, float],
    flags: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Curves of the document, each judged at its level.

    "change" is the geometric mean over the sizes; "worst" is the row of the size that lost most. "knee" and
    "within_5_percent" are what the files say of their curves: `said`, for base and head.
    """
    by_place = {(tuple(row["key"].items()), row["metric"]): row for row in rows}
    found = []
    for curve, level in zip(curves, levels, strict=True):
        facts = [of_side.get(curve.key, {}) for of_side in said]
        samples = [curve.pairings[size].samples for size in curve.sizes]
        margin = min(options.margin_of(curve.metric), limits.get(curve.metric.name, math.inf))
        found.append(
            {
                "key": dict(curve.key),
                "name": name_of(curve.key),
                "metric": curve.metric.name,
                "batch_sizes": curve.sizes,
                "base": [centre(base, curve.metric) for base, _ in samples],
                "head": [centre(head, curve.metric) for _, head in samples],
                **_mean_change(curve, level, options, margin, flags),
                "worst": _worst(
                    [by_place[pairing.key, curve.metric.name] for pairing in curve.pairings.values()], curve.metric
                ),
                **{name: _both([one.get(name) for one in facts]) for name in ("knee", "within_5_percent")},
                "largest_ok": [_largest_ok(side) for side in (curve.base, curve.head)],
                "smallest_oom": [_smallest_oom(side) for side in (curve.base, curve.head)],
            }
        )
    return found


def _by_curve(side: Side) -> dict[Key, dict[int, Record]]:
    found: dict[Key, dict[int, Record]] = {}
    for record in side.records:
        if record.batch_size is not None:
            found.setdefault(record.curve, {})[record.batch_size] = record
    return found


def _mean_change(
    curve: Curve, level: float | None, options: Options, margin: float, flags: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    estimate, metric = curve.estimate, curve.metric
    if all(same_measurement(*pairing.samples) for pairing in curve.pairings.values()):
        verdict, level = SAME, options.alpha
    elif estimate is None or level is None:
        verdict = CANNOT_TELL
    elif is_same(estimate, options.alpha, metric, margin):
        verdict, level = SAME, options.alpha
    else:
        verdict = doubted(
            verdict_of(estimate, level, metric),
            estimate,
            level,
            metric,
            margin=options.margin_of(metric),
            clocks=_clocks(curve),
            flags=flags,
        ).word
    if estimate is None or level is None:
        unknown = dict.fromkeys(("interval", "level", "p", "smallest_visible"))
        return {"change": _untested_change(curve), "verdict": verdict} | unknown
    return {
        "change": as_change(estimate.change, metric),
        "interval": [as_change(bound, metric) for bound in estimate.interval(level)],
        "level": level,
        "p": estimate.p,
        "verdict": verdict,
        "smallest_visible": as_change(estimate.smallest_visible(level), metric),
    }


def _untested_change(curve: Curve) -> float:
    """Head / base - 1, in the geometric mean of all processes."""
    logs = [
        (-1) ** (number + 1) * math.fsum(values) / len(values)
        for pairing in curve.pairings.values()
        for number, values in enumerate(scaled(sample.values, curve.metric) for sample in pairing.samples)
    ]
    return as_change(math.fsum(logs) / len(curve.pairings), curve.metric)


def _clocks(curve: Curve) -> tuple[float, float] | None:
    """Geometric means over the sizes; None unless all are known."""
    base, head = ([side[size].clock_mhz or 0.0 for size in curve.sizes] for side in (curve.base, curve.head))
    return None if 0.0 in (*base, *head) else (statistics.geometric_mean(base), statistics.geometric_mean(head))


def _estimate(curve: Curve) -> Estimate | None:
    """From the mean of each unit over the sizes where all sizes have the same units, else from the rows.

    Noise that is known and not measured here may be one process's luck at all sizes: more sizes do not make it less.
    Nor does the luck of a session become less. The spread of the means counts for no less than that of rows which vary
    by themselves.
    """
    rows = [pairing.estimate for pairing in curve.pairings.values() if pairing.estimate is not None]
    if len(rows) < len(curve.pairings):
        return None
    change = math.fsum(row.change for row in rows) / len(rows)
    session = max(row.session for row in rows)
    df = min(row.df for row in rows)
    own = [math.sqrt(row.se**2 - row.session**2) for row in rows]
    if rows[0].spread_from == "calibration":
        se = math.fsum(own) / len(rows)
    else:
        se = math.hypot(*own) / len(rows)
        units = _over_sizes([pairing.units for pairing in curve.pairings.values() if pairing.units is not None])
        if units is not None:
            spread = units.spread
            of_means = math.sqrt(spread.variance * units.share)
            df = units.fewest - 1.0 if units.differences or units.fewest < FEW else welch(units.base, units.head).df
            se = max(se, of_means)
    return Estimate(change, math.hypot(se, session), df, rows[0].spread_from, session)


def _over_sizes(units: Sequence[Units]) -> Units | None:
    """The i-th units of all sizes belong to one round; None where the sizes have other numbers of them."""
    if len({(one.source, len(one.base), len(one.head), len(one.differences)) for one in units}) > 1:
        return None
    base, head, differences = (
        tuple(math.fsum(values) / len(values) for values in zip(*groups, strict=True))
        for groups in zip(*((one.base, one.head, one.differences) for one in units), strict=True)
    )
    return Units(units[0].source, base, head, differences)


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
