"""The post's claim that accuracy falls as batch size grows."""

from __future__ import annotations

from typing import Any

from fastbs.analysis.controls import Attribution
from fastbs.analysis.evidence import Evidence
from fastbs.analysis.finding import Finding, Verdict, number
from fastbs.analysis.phrases import listed, points_interval, seeds
from fastbs.analysis.trend import Trend, fit_trend
from fastbs.analysis.why import attribution, why

CLAIM = "accuracy falls with batch size"
CAUSES: dict[str, Verdict] = {"rate": "true for another reason", "size": "true", "open": "true, cause open"}


def accuracy_claim(evidence: Evidence) -> Finding:
    """The trend over all sizes decides whether accuracy falls; the controls at one size decide why.

    true: a fall is proven, and the controls exclude that the rate, the updates or both together explain it. true for
    another reason: a fall is proven, and a scaled rate takes it away. true, cause open: a fall is proven, its cause
    is not. not seen here: a fall of a point per doubling is excluded, or a rise is proven on the way. cannot tell:
    anything else, fewer than two seeds have every size, or runs ended at unequal budgets.
    """
    if evidence.unequal:
        return Finding(CLAIM, "cannot tell", f"{evidence.unequal}.", _numbers(evidence, "", None))
    reasons = attribution(evidence)
    try:
        top1 = {setting.batch_size: evidence.top1(setting) for setting in evidence.sizes}
        trend: Trend | str = fit_trend(top1, evidence.spread)
    except ValueError as error:
        trend = str(error)
    verdict = _verdict(trend, reasons)
    parts = [_trend(evidence, trend)]
    if verdict.startswith("true"):
        parts.append(why(evidence, reasons))
    if falling := under_trained(evidence):
        parts.append(f"Under-trained, training loss still falls at the end: batch {listed(falling)}.")
    return Finding(CLAIM, verdict, " ".join(parts), _numbers(evidence, trend, reasons))


def under_trained(evidence: Evidence) -> list[int]:
    """The batch sizes whose training loss still falls at the end."""
    return [setting.batch_size for setting in evidence.sizes if evidence.under_trained(setting)]


def _verdict(trend: Trend | str, reasons: Attribution | None) -> Verdict:
    if isinstance(trend, str):
        return "cannot tell"
    if trend.falls:
        return CAUSES[reasons.cause if reasons else "open"]
    return "not seen here" if trend.fall_excluded else "cannot tell"


def _trend(evidence: Evidence, trend: Trend | str) -> str:
    if isinstance(trend, str):
        return f"there is no trend: {trend}."
    sizes, n = trend.batch_sizes, seeds(len(trend.seeds))
    if not trend.bounded:
        return "one seed has every size, which proves nothing."
    budget = "updates" if evidence.config.run.updates else "epochs"
    if trend.straight:
        slope = points_interval(trend.points_per_doubling)
        return f"{slope} points per doubling at equal {budget}, batch {sizes[0]} to {sizes[-1]}, {n}."
    steps = zip(sizes[1:], trend.from_smallest[1:], strict=True)
    said = ", ".join(f"{points_interval(step)} at batch {size}" for size, step in steps)
    return f"points from batch {sizes[0]} at equal {budget}, no straight line: {said}; {n}."


def _numbers(evidence: Evidence, trend: Trend | str, reasons: Attribution | None) -> dict[str, Any]:
    found = None if isinstance(trend, str) else trend
    return {
        **number("slope_per_doubling", found.points_per_doubling if found else None),
        "batch_sizes": list(found.batch_sizes) if found else [],
        "seeds": len(found.seeds) if found else 0,
        "from_smallest": [
            {"batch_size": size, **number("difference", step)}
            for size, step in zip(found.batch_sizes, found.from_smallest, strict=True)
        ]
        if found
        else [],
        "shape_p": found.shape_p if found else None,
        "rises": [list(pair) for pair in found.rises] if found else [],
        "sampling_error": [
            {"batch_size": setting.batch_size, "half_width": evidence.sampling_error(setting)}
            for setting in evidence.sizes
        ],
        "control_at": evidence.control_at.batch_size if reasons else None,
        **number("difference", reasons.difference if reasons else None),
        "controls": {
            arm: {**number("left_over", control.left_over), **number("gain", control.gain), "share": control.share}
            for arm, control in (reasons.controls if reasons else {}).items()
        },
        "left_by_both": {arm: number("left", left) for arm, left in (reasons.left_by_both if reasons else {}).items()},
        "explained_by": ["rate"] if reasons and reasons.cause == "rate" else [],
        "cause": reasons.cause if reasons else None,
        "margin": evidence.margin,
        "excluded_loss": reasons.excluded_loss if reasons else None,
        "under_trained": under_trained(evidence),
    }
