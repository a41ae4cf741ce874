"""Why accuracy falls, in sentences."""

from __future__ import annotations

from fastbs.analysis.arms import SAME_UPDATES, SCALED_LR
from fastbs.analysis.controls import Attribution, attribute
from fastbs.analysis.evidence import Evidence
from fastbs.analysis.phrases import loss, points_interval

HEADS = {
    ("updates", "rate"): "fewer updates at the same rate",
    ("updates",): "fewer updates",
    ("rate",): "the rate was not scaled with the batch",
}


def attribution(evidence: Evidence) -> Attribution | None:
    """The controls of a sweep; None where there is only one size or no seed has both sizes."""
    if evidence.control_at == evidence.smallest:
        return None
    arms = {setting.arm: evidence.top1(setting) for setting in evidence.controls}
    return attribute(evidence.top1(evidence.smallest), evidence.top1(evidence.control_at), arms)


def why(evidence: Evidence, reasons: Attribution | None) -> str:
    """What the controls make of a fall in accuracy: a cause, a part of one, or that nothing is known."""
    at, smallest = evidence.control_at.batch_size, evidence.smallest.batch_size
    if reasons is None:
        return f"WHY is not known: no seed has both batch {smallest} and batch {at}."
    images = evidence.dataset["validation"]
    without = f"batch {at} is {points_interval(reasons.difference)} points from batch {smallest}"
    excluded = reasons.excluded_loss
    if reasons.loss != "proven":
        text = f"WHY is open: at the controls' size no loss is proven ({without})"
        return f"{text}." if excluded is None else f"{text}; one beyond {loss(excluded, images)} points is excluded."
    if not reasons.controls:
        return f"WHY is not known: no control has run ({without})."
    tried = _tried(evidence, reasons)
    if excluded is None:
        some = any(control.gain.low > 0 for control in reasons.controls.values())
        head = "the controls take away a part at most" if some else "not shown by the controls"
        return f"WHY: {head} ({without}). {tried}."
    averaging = (
        f'"Averaging costs accuracy" is NOT SUPPORTED here: a loss beyond {loss(excluded, images)} points is excluded.'
    )
    beyond = "" if evidence.control_at == evidence.sizes[-1] else f" No control was run beyond batch {at}."
    return f"WHY: {HEADS[reasons.explained_by]} ({without}). {tried}. {averaging}{beyond}"


def _tried(evidence: Evidence, reasons: Attribution) -> str:
    at, smallest = evidence.control_at.batch_size, evidence.smallest.batch_size
    how = {SAME_UPDATES: f"with as many updates as batch {smallest}", SCALED_LR: f"with lr x{at / smallest:g}"}
    said = [f"{how[arm]} it is {points_interval(control.left_over)}" for arm, control in reasons.controls.items()]
    text = "; ".join(said)
    return text[0].upper() + text[1:]
