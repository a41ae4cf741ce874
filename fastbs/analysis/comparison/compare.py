"""Two sides, compared: one document with every row, the curves, the differences between the machines, and the gate."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from fastbs.analysis.comparison.curves import find_curves, make_curves
from fastbs.analysis.comparison.differences import differences
from fastbs.analysis.comparison.gate import Gate, judge
from fastbs.analysis.comparison.holm import holm_levels
from fastbs.analysis.comparison.metrics import METRICS
from fastbs.analysis.comparison.options import Options
from fastbs.analysis.comparison.overdispersion import refutes
from fastbs.analysis.comparison.records import Side
from fastbs.analysis.comparison.rows import make_pairings, make_rows
from fastbs.analysis.comparison.sessions import Sessions
from fastbs.errors import BadInput
from fastbs.results.files import SCHEMA


def compare(base: Side, head: Side, *, options: Options, gate: Gate) -> dict[str, Any]:
    """The document of kind "comparison"; numbers are not rounded, and null where nothing is known.

    A row has "change", head / base - 1 of the metric's own value (points: head - base), its "interval" at the "level"
    at which it was judged (Holm's, of rows and curves together; of rows that are the same, alpha), and the
    "smallest_visible" change, which would have been called one with 80 % probability. "spread_from" says where the
    spread comes from: processes, seeds or sessions (pairs of them where both sides have the same), pairs that were
    measured in turns, calibration, or ranks of times of which some are misses; a row with "assumed" is not tested,
    since nothing that was measured tells its spread. "sessions" is null where a file does not say when it was measured.

    A rule's limit that is below the margin takes its place: what is called the same must not hide what the rule is
    about. Exit codes of the gate: 5 nothing matched, 3 not comparable, 1 a rule fired, 4 cannot tell and asked to fail
    on it, 0. BadInput for an unknown metric or difference.
    """
    for name in options.metrics or ():
        if name not in METRICS:
            raise BadInput(f"metric: {name!r} is unknown; known: {', '.join(METRICS)}")
    refuted, sessions = None, Sessions.of(base, head)
    if options.calibration is not None:
        options.calibration.refuse_elsewhere(base)
        if refuted := refutes(options.calibration, base, head, sessions):
            options = replace(options, calibration=None)
    found = differences(base, head, options.allow)
    flags = [difference for difference in found if difference["tier"] == "flag" and not difference["allowed"]]
    pairings = make_pairings(base, head, sessions, options, gate.limits())
    lines = find_curves(base, head, pairings)
    levels = holm_levels([*(each.p for each in pairings), *(each.p for each in lines)], options.alpha)
    rows = make_rows(pairings, levels[: len(pairings)], options, flags)
    said = base.curves, head.curves
    curves = make_curves(lines, levels[len(pairings) :], said, rows, options, gate.limits(), flags)
    return {
        "schema": SCHEMA,
        "kind": "comparison",
        "base": _side(base),
        "head": _side(head),
        "settings": {
            "margin": options.margin,
            "points_margin": options.points_margin,
            "alpha": options.alpha,
            "noise": options.noise,
            "calibration": options.calibration and options.calibration.source,
            "calibration_refuted": refuted,
            "allow": sorted(options.allow),
            "metrics": options.metrics and list(options.metrics),
        },
        "sessions": sessions and _sessions(sessions, options),
        "differences": found,
        "rows": rows,
        "curves": curves,
        "counts": dict(Counter(row["verdict"] for row in rows)),
        "gate": judge(gate, rows, curves, found),
    }


def _sessions(sessions: Sessions, options: Options) -> dict[str, Any]:
    """How many each side has and both share; and whether the luck of one is calibrated, or assumed ("noise")."""
    base, head = sessions.distinct
    calibrated = options.calibration is not None and bool(options.calibration.sessions)
    return {"base": len(base), "head": len(head), "shared": len(base & head), "calibrated": calibrated}


def _side(side: Side) -> dict[str, Any]:
    return {"files": sorted(side.files), "commit": side.commit, "dirty": side.dirty}
