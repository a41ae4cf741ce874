"""A gate that cannot fail is worth nothing: every exit code of a gate, reached with made-up measurements."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fastbs.analysis.comparison.compare import compare
from fastbs.analysis.comparison.gate import CANNOT_TELL, FIRED, NOT_COMPARABLE, NOTHING_MATCHED, PASSED, Gate, Rule
from fastbs.analysis.comparison.metrics import METRICS, PRIMARY
from fastbs.analysis.comparison.options import Options
from fastbs.analysis.comparison.records import Key, Record, Sample, Side

SIZES = (1, 8, 64)
SPREAD = (0.994, 0.997, 1.0, 1.003, 1.006)  # of five processes
SLOWDOWN = 1.25


def self_test(gate: Gate) -> list[tuple[str, int, int]]:
    """(what was compared, the exit code it must have, the one it has). Each rule is tried with its own metric.

    A rule that not even a change by a quarter beyond its limit would break shows here.
    """
    base = _side(gate)
    strict = replace(gate, cannot_tell="fail", rules=tuple(replace(rule, worse_than=0.0) for rule in gate.rules))
    tried = [("the same twice", PASSED, gate, base, base)]
    tried += [(f"{rule.text}: broken", FIRED, gate, base, _worse(base, rule)) for rule in gate.rules]
    if gate.missing == "fail":
        tried.append(("a row missing", FIRED, gate, base, replace(base, records=base.records[1:])))
    if gate.failed == "fail":
        failed = replace(base.records[0], status="failed", reason="made up", samples={})
        tried.append(("a row failed", FIRED, gate, base, replace(base, records=(failed, *base.records[1:]))))
    if all(expected != FIRED for _, expected, *_ in tried):
        speed = Rule("images_per_second", 0.0, "all")
        tried.append(("everything slower", FIRED, gate, base, _worse(base, speed)))
    tried.append(("another GPU", NOT_COMPARABLE, gate, base, replace(base, machine={"gpu": "another"})))
    if gate.rules:
        tried.append(("cannot tell, made to fail", CANNOT_TELL, strict, _side(gate, 60.0), _side(gate, 61.0)))
    tried.append(
        ("nothing in common", NOTHING_MATCHED, gate, base, replace(base, records=_records(["other"], 1.0, gate)))
    )
    return [
        (what, expected, int(compare(before, after, options=Options(), gate=judge)["gate"]["exit_code"]))
        for what, expected, judge, before, after in tried
    ]


def _side(gate: Gate, spread: float = 1.0) -> Side:
    return Side(
        files=("made up",),
        records=_records(["made up"], spread, gate),
        workload={},
        machine={"gpu": "one"},
    )


def _records(names: Iterable[str], spread: float, gate: Gate) -> tuple[Record, ...]:
    """Rows of every question that a rule is about; their processes differ by `spread` times the usual."""
    questions = {_question(rule.metric) for rule in gate.rules} | {"throughput"}
    return tuple(
        _record((("question", question), ("fullname", name), ("batch_size", size)), size, spread)
        for question in sorted(questions)
        for name in names
        for size in sorted({*SIZES, *(size for rule in gate.rules if isinstance(rule.at, tuple) for size in rule.at)})
    )


def _question(metric: str) -> str:
    return next((question for question, names in PRIMARY.items() if metric in names), "throughput")


def _record(key: Key, size: int, spread: float) -> Record:
    values = tuple(0.5 * (1 + spread * (factor - 1)) for factor in SPREAD)
    return Record(
        key,
        samples={
            name: Sample(tuple(size * v if metric.scale == "ratio" else v for v in values))
            for name, metric in METRICS.items()
        },
    )


def _worse(side: Side, rule: Rule) -> Side:
    """The same, but for the metric of `rule`, which is a quarter beyond its limit where the rule looks."""
    return replace(side, records=tuple(_worse_record(record, rule) for record in side.records))


def _worse_record(record: Record, rule: Rule) -> Record:
    metric = METRICS[rule.metric]
    if isinstance(rule.at, tuple) and record.batch_size not in rule.at:
        return record
    old = record.samples[rule.metric]
    if metric.scale == "points":
        values = tuple(max(0.0, value - rule.worse_than - 0.1) for value in old.values)
    elif metric.higher_is_better:
        values = tuple(value * max(0.0, 1 - rule.worse_than) / SLOWDOWN or value for value in old.values)
    else:
        values = tuple(value * (1 + rule.worse_than) * SLOWDOWN for value in old.values)
    return replace(record, samples={**record.samples, rule.metric: Sample(values)})
