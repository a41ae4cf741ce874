"""What HEAD must not do: rules in a small TOML file, and which of them a comparison breaks."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from fastbs.analysis.comparison.metrics import METRICS
from fastbs.errors import BadInput

VERSION = 1
PASSED, FIRED, NOT_COMPARABLE, CANNOT_TELL, NOTHING_MATCHED = 0, 1, 3, 4, 5
USEFUL = {"ratio": 0.1, "points": 0.05}  # what a rule about any change at all must be able to see
UNMEASURED = {"missing": "missing", "failed": "failed"}  # verdict -> the rule that speaks of it

DEFAULT_GATE = """\
version = 1
missing = "fail"        # rows of BASE that HEAD lacks: fail or allow
failed = "fail"         # rows that are ok in BASE and not in HEAD
cannot_tell = "allow"   # fail: exit code 4 when a row below cannot be told, or could not have shown its limit
                        # (of the limit 0: a change of 10 %, or 5 points)

# A rule fires when the verdict is for the worse and the change itself is beyond its limit ("2.5%", "0.5 points").
# at: "all" rows, "curve" (their geometric mean over batch sizes), or some batch sizes, as in [8, 32].
[metrics.images_per_second]
worse_than = "0%"
at = "all"

[metrics.seconds]
worse_than = "0%"
at = "all"

[metrics.update_us]
worse_than = "0%"
at = "all"

[metrics.time_to_target_s]
worse_than = "0%"
at = "all"

[metrics.top1]
worse_than = "0 points"
at = "all"
"""

Action = Literal["fail", "allow"]


@dataclass(frozen=True)
class Rule:
    """`worse_than` is a share, or points as a fraction."""

    metric: str
    worse_than: float
    at: Literal["all", "curve"] | tuple[int, ...]

    @property
    def text(self) -> str:
        unit = "points" if METRICS[self.metric].scale == "points" else "%"
        where = "" if self.at == "all" else " over the curve"
        if isinstance(self.at, tuple):
            where = f" at B={','.join(map(str, self.at))}"
        return f"{self.metric} worse than {100 * self.worse_than:g} {unit}{where}"

    @property
    def must_see(self) -> float:
        """The change for the worse that this rule promises to catch: its limit, or 10 % (5 points) where that is 0."""
        return self.worse_than or USEFUL[METRICS[self.metric].scale]

    def holds_for(self, row: Mapping[str, Any], *, curve: bool) -> bool:
        if row["metric"] != self.metric or curve != (self.at == "curve"):
            return False
        return isinstance(self.at, str) or row["batch_size"] in self.at


@dataclass(frozen=True)
class Gate:
    rules: tuple[Rule, ...]
    missing: Action = "fail"
    failed: Action = "fail"
    cannot_tell: Action = "allow"

    @classmethod
    def parse(cls, text: str, source: str) -> Self:
        """From TOML; BadInput names the key that is unknown, missing or has a value that is no rule."""
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise BadInput(f"{source}: not a TOML file ({error})") from error
        known = ("version", "missing", "failed", "cannot_tell", "metrics")
        _refuse_unknown(values, known, source)
        if values.get("version") != VERSION or isinstance(values["version"], bool):
            raise BadInput(f"{source}: version is {values.get('version')!r}; this fastbs reads version = {VERSION}")
        metrics = values.get("metrics", {})
        if not isinstance(metrics, dict):
            raise BadInput(f"{source}: metrics is {metrics!r}; write [metrics.NAME] tables")
        return cls(
            rules=tuple(_rule(name, rule, source) for name, rule in metrics.items()),
            **{name: _action(values, name, source) for name in known[1:4] if name in values},
        )

    def limits(self) -> dict[str, float]:
        """The smallest limit of each metric that has a rule; of "worse at all" (0), infinity: any margin will do."""
        found: dict[str, float] = {}
        for rule in self.rules:
            found[rule.metric] = min(found.get(rule.metric, math.inf), rule.worse_than or math.inf)
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "missing": self.missing,
            "failed": self.failed,
            "cannot_tell": self.cannot_tell,
            "metrics": {
                rule.metric: {
                    "worse_than": rule.worse_than,
                    "at": rule.at if isinstance(rule.at, str) else list(rule.at),
                }
                for rule in self.rules
            },
        }


def judge(
    gate: Gate,
    rows: Sequence[Mapping[str, Any]],
    curves: Sequence[Mapping[str, Any]],
    differences: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The document's "gate": its rules, what they caught ("fired"), where they could not see ("blind"), the exit code.

    Blind is a rule where a change of its limit's size could not have been told, or that looks where nothing is; a rule
    with the limit 0 where one of 10 % (5 points) could not. "unseen" has one entry for each such rule: how large a
    change for the worse would have passed ("change", null: any), in how many of its rows (0: it looks where none is).
    """
    fired = [*_unmeasured(gate, rows), *_broken(gate, rows, curves)]
    blind = [*_blind(gate, rows, curves), *_astray(gate, rows, curves)]
    unseen = [found for rule in gate.rules for found in _unseen(rule, rows, curves)]
    unclear = blind or any(row["verdict"] == "cannot tell" for _, row in _judged(gate, rows, curves))
    barred = any(difference["tier"] == "block" and not difference["allowed"] for difference in differences)
    code = PASSED
    if not any(row["base"]["status"] and row["head"]["status"] for row in rows):
        code = NOTHING_MATCHED
    elif barred:
        code = NOT_COMPARABLE
    elif fired:
        code = FIRED
    elif unclear and gate.cannot_tell == "fail":
        code = CANNOT_TELL
    return {"rules": gate.to_json(), "fired": fired, "blind": blind, "unseen": unseen, "exit_code": code}


def _judged(
    gate: Gate, rows: Sequence[Mapping[str, Any]], curves: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[Rule, Mapping[str, Any]]]:
    """Each rule with every row or curve that it is about."""
    for rule in gate.rules:
        yield from ((rule, row) for row in rows if rule.holds_for(row, curve=False))
        yield from ((rule, curve) for curve in curves if rule.holds_for(curve, curve=True))


def _unmeasured(gate: Gate, rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        name = UNMEASURED.get(row["verdict"])
        if name is not None and getattr(gate, name) == "fail":
            why = row["head"]["reason"] or "; ".join(row["notes"]) or row["head"]["status"] or "not in HEAD"
            yield _item(f"no row {name}", row, why)


def _broken(
    gate: Gate, rows: Sequence[Mapping[str, Any]], curves: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    for rule, row in _judged(gate, rows, curves):
        metric = METRICS[rule.metric]
        if row["verdict"] != metric.worse:
            continue
        if row["change"] is None:
            yield _item(rule.text, row, "more misses")
        elif abs(row["change"]) > rule.worse_than:
            yield _item(rule.text, row, _change(row, metric.scale == "points"))


def _blind(
    gate: Gate, rows: Sequence[Mapping[str, Any]], curves: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    for rule, row in _judged(gate, rows, curves):
        if not _is_blind(rule, row):
            continue
        visible = row["smallest_visible"]
        if visible is None:
            yield _item(rule.text, row, "nothing says how surely it was measured")
        else:
            unit = "points" if METRICS[rule.metric].scale == "points" else "%"
            yield _item(rule.text, row, f"smallest visible change {100 * visible:.1f} {unit}")


def _unseen(
    rule: Rule, rows: Sequence[Mapping[str, Any]], curves: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    about = [row for _, row in _judged(Gate((rule,)), rows, curves)]
    blind = [_for_the_worse(row) for row in about if _is_blind(rule, row)]
    if blind:
        change = None if None in blind else max(size for size in blind if size is not None)
        yield {
            "rule": rule.text,
            "metric": rule.metric,
            "change": change,
            "rows": len(blind),
            "of": len(about),
        }
    elif any(_astray(Gate((rule,)), rows, curves)):
        yield {"rule": rule.text, "metric": rule.metric, "change": None, "rows": 0, "of": 0}


def _is_blind(rule: Rule, row: Mapping[str, Any]) -> bool:
    size = _for_the_worse(row)
    return row["verdict"] == "cannot tell" and (size is None or size > rule.must_see)


def _for_the_worse(row: Mapping[str, Any]) -> float | None:
    """The smallest change for the worse that was visible, as a positive share or points: of speeds it is a fall."""
    visible, metric = row["smallest_visible"], METRICS[row["metric"]]
    if visible is None or metric.scale == "points" or not metric.higher_is_better:
        return None if visible is None else float(visible)
    return float(visible / (1 + visible))


def _astray(
    gate: Gate, rows: Sequence[Mapping[str, Any]], curves: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Rules about batch sizes, or a curve, that a metric which is there does not have: these could never fire."""
    for rule in gate.rules:
        sizes = {row["batch_size"] for row in rows if row["metric"] == rule.metric}
        nowhere = {"row": None, "batch_size": None}
        if isinstance(rule.at, tuple) and sizes:
            for size in sorted(set(rule.at) - sizes):
                yield {"rule": rule.text, **nowhere, "why": f"no row has batch size {size}"}
        elif rule.at == "curve" and sizes and not any(curve["metric"] == rule.metric for curve in curves):
            yield {"rule": rule.text, **nowhere, "why": "no curve has two batch sizes that both sides measured"}


def _item(rule: str, row: Mapping[str, Any], why: str) -> dict[str, Any]:
    return {"rule": rule, "row": row["name"], "batch_size": row.get("batch_size"), "why": why}


def _change(row: Mapping[str, Any], points: bool) -> str:
    """-6.1 % [-7.0, -5.2]"""
    interval = row["interval"]
    bounds = "" if interval is None else f" [{100 * interval[0]:+.1f}, {100 * interval[1]:+.1f}]"
    return f"{100 * row['change']:+.1f} {'points' if points else '%'}{bounds}"


def _rule(name: str, rule: Any, source: str) -> Rule:
    place = f"{source}: metrics.{name}"
    if name not in METRICS:
        raise BadInput(f"{place}: unknown; known: {', '.join(METRICS)}")
    if not isinstance(rule, dict):
        raise BadInput(f"{place}: is {rule!r}; write a [metrics.{name}] table")
    _refuse_unknown(rule, ("worse_than", "at"), place)
    if "worse_than" not in rule:
        raise BadInput(f'{place}.worse_than: missing; write worse_than = "3%"')
    return Rule(name, _limit(name, rule["worse_than"], place), _where(rule.get("at", "all"), place))


def _limit(name: str, value: Any, place: str) -> float:
    unit = "points" if METRICS[name].scale == "points" else "%"
    number = value.removesuffix(unit).strip() if isinstance(value, str) and value.endswith(unit) else "nothing"
    try:
        limit = float(number)
    except ValueError:
        limit = -1.0
    if not 0 <= limit < 1e6:
        raise BadInput(f'{place}.worse_than: {value!r} is no limit; write it as "3%", for top1 as "0.5 points"')
    return limit / 100


def _where(value: Any, place: str) -> Literal["all", "curve"] | tuple[int, ...]:
    if value == "all" or value == "curve":
        return "all" if value == "all" else "curve"
    sizes = value if isinstance(value, list) else []
    if not sizes or any(not isinstance(size, int) or isinstance(size, bool) or size < 1 for size in sizes):
        raise BadInput(f'{place}.at: {value!r} is not "all", "curve" or a list of batch sizes')
    return tuple(sizes)


def _action(values: Mapping[str, Any], name: str, source: str) -> Action:
    value = values[name]
    if value not in ("fail", "allow"):
        raise BadInput(f'{source}: {name} is {value!r}; write "fail" or "allow"')
    return "fail" if value == "fail" else "allow"


def _refuse_unknown(values: Mapping[str, Any], known: Sequence[str], source: str) -> None:
    for key in values:
        if key not in known:
            raise BadInput(f"{source}: {key!r} is unknown; known: {', '.join(known)}")
