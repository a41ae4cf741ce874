"""The post's claim that accuracy falls as batch size grows."""

from __future__ import annotations

from typing import Any

from fastbs.analysis.controls import Attribution
from fastbs.analysis.evidence import Evidence
from fastbs.analysis.finding import POINT, Finding, Verdict, number
from fastbs.analysis.phrases import listed, loss, points_interval, seeds
from fastbs.analysis.trend import Trend, fit_trend
from fastbs.analysis.why import attribution, why


def accuracy_claim(evidence: Evidence) -> Finding:
    """The trend over all sizes decides whether accuracy falls; the controls at one size decide why.

    true: the whole interval of the slope is below 0, and no control explains the loss. true for another reason: it is,
    and a control does. not seen here: the interval reaches 0 and excludes a fall of a point per doubling. cannot tell:
    it reaches 0 but is wider than that, fewer than two seeds have every size, or runs ended at unequal budgets.
    """
    if evidence.unequal:
        text = f"{evidence.unequal}."
        return Finding("accuracy falls with batch size", "cannot tell", text, _numbers(evidence, "", None))
    reasons = attribution(evidence)
    try:
        top1 = {setting.batch_size: evidence.top1(setting) for setting in evidence.sizes}
        trend: Trend | str = fit_trend(top1, evidence.resolution)
    except ValueError as error:
        trend = str(error)
    verdict = _verdict(trend, reasons)
    parts = [_trend(evidence, trend)]
    if verdict.startswith("true"):
        parts.append(why(evidence, reasons))
    if falling := under_trained(evidence):
        parts.append(f"Under-trained, training loss still falls at the end: batch {listed(falling)}.")
    return Finding("accuracy falls with batch size", verdict, " ".join(parts), _numbers(evidence, trend, reasons))


def under_trained(evidence: Evidence) -> list[int]:
    """The batch sizes whose training loss still falls at the end."""
    return [setting.batch_size for setting in evidence.sizes if evidence.under_trained(setting)]


def _verdict(trend: Trend | str, reasons: Attribution | None) -> Verdict:
    if isinstance(trend, str) or not trend.points_per_doubling.bounded:
        return "cannot tell"
    slope = trend.points_per_doubling
    if slope.high < 0:
        return "true for another reason" if reasons and reasons.explained_by else "true"
    return "not seen here" if slope.low > -POINT else "cannot tell"


def _trend(evidence: Evidence, trend: Trend | str) -> str:
    if isinstance(trend, str):
        return f"there is no trend: {trend}."
    slope, sizes = trend.points_per_doubling, trend.batch_sizes
    budget = "updates" if evidence.config.run.updates else "epochs"
    where = f"points per doubling at equal {budget}, batch {sizes[0]} to {sizes[-1]}, {seeds(slope.n)}"
    text = f"{points_interval(slope)} {where}."
    if not slope.bounded:
        return f"{text} Two seeds at least give an interval."
    if slope.low <= 0 <= slope.high:
        text += f" A fall beyond {loss(-slope.low, evidence.dataset['validation'])} points per doubling is excluded."
    return text


def _numbers(evidence: Evidence, trend: Trend | str, reasons: Attribution | None) -> dict[str, Any]:
    return {
        **number("slope_per_doubling", None if isinstance(trend, str) else trend.points_per_doubling),
        "batch_sizes": [] if isinstance(trend, str) else list(trend.batch_sizes),
        "seeds": 0 if isinstance(trend, str) else len(trend.seeds),
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
        "explained_by": list(reasons.explained_by) if reasons else [],
        "excluded_loss": reasons.excluded_loss if reasons else None,
        "under_trained": under_trained(evidence),
    }
