"""The rows of a comparison: what is on both sides is tested, all of it together; what is on one is said."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastbs.analysis.comparison.estimate import Estimate
from fastbs.analysis.comparison.metrics import METRICS, PRIMARY, Metric
from fastbs.analysis.comparison.moderation import Moderation
from fastbs.analysis.comparison.names import name_of
from fastbs.analysis.comparison.options import Options
from fastbs.analysis.comparison.records import Key, Record, Sample, Side
from fastbs.analysis.comparison.samples import centre, estimate_of, moderation_of, rank_p, same_measurement
from fastbs.analysis.comparison.sessions import Sessions
from fastbs.analysis.comparison.units import Units, units_of
from fastbs.analysis.comparison.verdict import (
    CANNOT_TELL,
    SAME,
    Verdict,
    as_change,
    changed,
    doubted,
    is_same,
    verdict_of,
)

THROTTLED = 0.01  # of the time; less is not worth a word
NOTHING = Sample(())
NEVER = "no run reached the target"


@dataclass(frozen=True)
class Pairing:
    """One metric of one row, on the sides that have it."""

    key: Key
    metric: Metric
    base: Record | None
    head: Record | None
    units: Units | None = None  # of rows that are measured
    estimate: Estimate | None = None
    p: float | None = None
    same: bool = False  # surely within the margin

    @property
    def samples(self) -> tuple[Sample, Sample]:
        base, head = (
            record.samples.get(self.metric.name, NOTHING) if record else NOTHING for record in (self.base, self.head)
        )
        return base, head

    @property
    def measured(self) -> bool:
        """On both sides, and well."""
        return self.base is not None and self.head is not None and self.base.status == self.head.status == "ok"


def make_rows(
    pairings: Sequence[Pairing], levels: Sequence[float | None], options: Options, flags: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Rows of the document, each judged at its level. `flags` are differences that may explain small changes."""
    return [_row(*pair, options, flags) for pair in zip(pairings, levels, strict=True)]


def make_pairings(
    base: Side, head: Side, sessions: Sessions | None, options: Options, limits: Mapping[str, float]
) -> list[Pairing]:
    """Every metric of every row with its test, in an order that does not depend on that of the sides.

    The metrics are those that are asked for, or else each question's own, and those in `limits`, which are a gate's:
    the margin of such a metric is no wider. The rows of one metric and question share what they know of their spread.
    """
    pairings = [_with_units(each, sessions, options) for each in _pairings(base, head, options.metrics, limits)]
    together: dict[Hashable, list[Units]] = {}
    for pairing in pairings:
        if pairing.units is not None:
            together.setdefault(_kind(pairing), []).append(pairing.units)
    known = {kind: moderation_of(units) for kind, units in together.items()}
    return sorted((_tested(each, known.get(_kind(each)), options, limits) for each in pairings), key=_place)


def _pairings(base: Side, head: Side, metrics: Sequence[str] | None, gated: Collection[str]) -> Iterator[Pairing]:
    """Every metric that is asked for and that either side has; a row that is not ok is there once."""
    before, after = ({record.key: record for record in side.records} for side in (base, head))
    for key in before.keys() | after.keys():
        sides = before.get(key), after.get(key)
        own = PRIMARY[str(dict(key)["question"])]
        held = {name for record in sides if record for name in record.samples}
        asked = [name for name in METRICS if name in held and (name in gated or name in (metrics or own))]
        well = all(record is not None and record.status == "ok" for record in sides)
        if not asked and not (metrics is None and not well):
            continue
        for name in asked if well else (asked or own)[:1]:
            yield Pairing(key, METRICS[name], *sides)


def _with_units(pairing: Pairing, sessions: Sessions | None, options: Options) -> Pairing:
    if not pairing.measured:
        return pairing
    return replace(pairing, units=units_of(*pairing.samples, pairing.metric, sessions, paired=options.paired))


def _kind(pairing: Pairing) -> Hashable:
    """Rows of one kind vary alike, more or less."""
    question = dict(pairing.key)["question"]
    return question, pairing.metric.name, pairing.units is not None and bool(pairing.units.differences)


def _tested(pairing: Pairing, rows: Moderation | None, options: Options, limits: Mapping[str, float]) -> Pairing:
    if not pairing.measured:
        return pairing
    estimate = estimate_of(*pairing.samples, pairing.units, rows, pairing.metric, pairing.key, options)
    p = estimate.p if estimate else rank_p(*pairing.samples)
    margin = min(options.margin_of(pairing.metric), limits.get(pairing.metric.name, math.inf))
    same = estimate is not None and is_same(estimate, options.alpha, pairing.metric, margin)
    return replace(pairing, estimate=estimate, p=p, same=same)


def _place(pairing: Pairing) -> tuple[Any, ...]:
    """By question, settings, batch size and metric."""
    question = str(dict(pairing.key)["question"])
    return (
        list(PRIMARY).index(question),
        [_comparable(value) for _, value in pairing.key],
        list(METRICS).index(pairing.metric.name),
    )


def _comparable(value: Hashable) -> tuple[str, Any]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "", value
    return type(value).__name__, str(value)


def _row(pairing: Pairing, level: float | None, options: Options, flags: Sequence[dict[str, Any]]) -> dict[str, Any]:
    metric, estimate = pairing.metric, pairing.estimate
    level = options.alpha if pairing.same else level
    verdict = _verdict(pairing, level, options, flags)
    values = [centre(sample, metric) for sample in pairing.samples]
    seen = None if estimate is None or level is None else (estimate.interval(level), estimate.smallest_visible(level))
    return {
        "key": dict(pairing.key),
        "name": name_of(pairing.key),
        "batch_size": (pairing.base or pairing.head or Record(())).batch_size,
        "metric": metric.name,
        "base": _side(pairing.base, pairing.samples[0], values[0]),
        "head": _side(pairing.head, pairing.samples[1], values[1]),
        "change": _change(pairing, values),
        "interval": None if seen is None else [as_change(bound, metric) for bound in seen[0]],
        "level": level,
        "p": pairing.p,
        "smallest_visible": None if seen is None else as_change(seen[1], metric),
        "spread_from": _spread_from(pairing),
        "verdict": verdict.word,
        "worse": _worse(verdict.word, metric),
        "notes": [*verdict.notes, *_throttled(pairing)],
        "clock_mhz": list(_clocks(pairing) or []) or None,
    }


def _spread_from(pairing: Pairing) -> str | None:
    if pairing.estimate is not None:
        return pairing.estimate.spread_from
    if pairing.p is not None:
        return "ranks"
    return "assumed" if pairing.units is not None and pairing.metric.scale == "ratio" else None


def _side(record: Record | None, sample: Sample, value: float | None) -> dict[str, Any]:
    return {
        "status": record and record.status,
        "reason": record and record.reason,
        "value": value,
        "processes": sample.processes,
    }


def _change(pairing: Pairing, values: Sequence[float | None]) -> float | None:
    if pairing.estimate is not None:
        return as_change(pairing.estimate.change, pairing.metric)
    before, after = values
    if before is None or after is None or not pairing.measured:
        return None
    return after / before - 1 if pairing.metric.scale == "ratio" else after - before


def _verdict(pairing: Pairing, level: float | None, options: Options, flags: Sequence[dict[str, Any]]) -> Verdict:
    if not pairing.measured:
        return Verdict(_of_statuses(pairing.base, pairing.head))
    base, head = pairing.samples
    if not base.values or not head.values:
        return Verdict("missing" if base.values else "new")
    if same_measurement(base, head):
        return Verdict(SAME, ["the same measurements"])
    if _never(head) and math.inf not in base.values:
        return Verdict("failed", [NEVER])
    if _never(base) and math.inf not in head.values:
        return Verdict("fixed")
    if pairing.estimate is None:
        return Verdict(_by_ranks(pairing, level))
    assert level is not None
    if pairing.same:
        return Verdict(SAME)
    return doubted(
        verdict_of(pairing.estimate, level, pairing.metric),
        pairing.estimate,
        level,
        pairing.metric,
        margin=options.margin_of(pairing.metric),
        clocks=_clocks(pairing),
        flags=flags,
    )


def _never(sample: Sample) -> bool:
    """No run reached the target, of two at least: no test of ranks at the level of many rows could say so."""
    return len(sample.values) > 1 and all(map(math.isinf, sample.values))


def _of_statuses(base: Record | None, head: Record | None) -> str:
    if base is None or head is None:
        return "new" if base is None else "missing"
    if base.status == "ok":
        return "failed"
    return "fixed" if head.status == "ok" else "not ok"


def _by_ranks(pairing: Pairing, level: float | None) -> str:
    """Of times to target, some of them never reached: the side with the lower mean rank is the better one."""
    if pairing.p is None or level is None or pairing.p > level:
        return CANNOT_TELL
    base, head = pairing.samples
    above = sum((b < h) - (b > h) for b in base.values for h in head.values)
    return changed(above, pairing.metric) if above else CANNOT_TELL


def _clocks(pairing: Pairing) -> tuple[float, float] | None:
    before, after = (record and record.clock_mhz for record in (pairing.base, pairing.head))
    return (before, after) if before and after else None


def _throttled(pairing: Pairing) -> list[str]:
    sides = {"BASE": pairing.base, "HEAD": pairing.head}
    shares = {name: record.throttled_share or 0.0 for name, record in sides.items() if record}
    return [
        f"throttled {100 * share:.0f} % of the time in {name}" for name, share in shares.items() if share > THROTTLED
    ]


def _worse(word: str, metric: Metric) -> bool | None:
    if word in (metric.worse, "failed", "missing"):
        return True
    return False if word in (metric.better, "fixed") else None
