"""Why accuracy falls, in sentences."""

from __future__ import annotations

from fastbs.analysis.arms import SAME_UPDATES, SCALED_LR
from fastbs.analysis.controls import Attribution, attribute
from fastbs.analysis.evidence import Evidence, Setting
from fastbs.analysis.phrases import loss, points_interval

HEADS = {
    ("updates", "rate"): "fewer updates at the same rate",
    ("updates",): "fewer updates",
    ("rate",): "the rate was not scaled with the batch",
}


def attribution(evidence: Evidence) -> Attribution | None:
    """The controls of a sweep; None where there is only one size, no seed has both, or one has runs that ended badly.

    A control with runs that ended badly is left out: its survivors are not a fair sample.
    """
    smallest, at = evidence.smallest, evidence.control_at
    if at == smallest or evidence.ended_badly(smallest) or evidence.ended_badly(at):
        return None
    arms = {setting.arm: evidence.top1(setting) for setting in evidence.controls if not evidence.ended_badly(setting)}
    return attribute(evidence.top1(smallest), evidence.top1(at), arms, evidence.resolution)


def why(evidence: Evidence, reasons: Attribution | None) -> str:
    """What the controls make of a fall in accuracy: a cause, a part of one, or that nothing is known."""
    at, smallest = evidence.control_at.batch_size, evidence.smallest.batch_size
    if reasons is None:
        lost = [
            f"{_lost(evidence, s)} at batch {s.batch_size}"
            for s in (evidence.smallest, evidence.control_at)
            if evidence.ended_badly(s)
        ]
        return f"WHY is not known: {', '.join(lost) or f'no seed has both batch {smallest} and batch {at}'}."
    images = evidence.dataset["validation"]
    without = f"batch {at} is {points_interval(reasons.difference)} points from batch {smallest}"
    excluded = reasons.excluded_loss
    if reasons.loss != "proven":
        text = f"WHY is open: at the controls' size no loss is proven ({without})"
        return f"{text}." if excluded is None else f"{text}; one beyond {loss(excluded, images)} points is excluded."
    tried = _tried(evidence, reasons)
    if not tried:
        return f"WHY is not known: no control has run ({without})."
    if excluded is None:
        return f"WHY: {_unexplained(reasons)} ({without}). {tried}."
    averaging = (
        f'"Averaging costs accuracy" is NOT SUPPORTED here: a loss beyond {loss(excluded, images)} points is excluded.'
    )
    beyond = "" if evidence.control_at == evidence.sizes[-1] else f" No control was run beyond batch {at}."
    return f"WHY: {HEADS[reasons.explained_by]} ({without}). {tried}. {averaging}{beyond}"


def _tried(evidence: Evidence, reasons: Attribution) -> str:
    at, smallest = evidence.control_at.batch_size, evidence.smallest.batch_size
    how = {SAME_UPDATES: f"with as many updates as batch {smallest}", SCALED_LR: f"with lr x{at / smallest:g}"}
    said = []
    for arm, control in reasons.controls.items():
        doubt = ", so this control cannot tell" if control.open else ""
        said.append(f"{how[arm]} it is {points_interval(control.left_over)}{doubt}")
    said += [f"{how[s.arm]}, {_lost(evidence, s)}" for s in evidence.controls if evidence.ended_badly(s)]
    text = "; ".join(said)
    return text[:1].upper() + text[1:]


def _unexplained(reasons: Attribution) -> str:
    controls = reasons.controls.values()
    if not controls or any(control.open for control in controls):
        return "the controls cannot tell"
    some = any(control.gain.low > 0 for control in controls)
    return "the controls take away a part at most" if some else "not shown by the controls"


def _lost(evidence: Evidence, setting: Setting) -> str:
    """ "2 of 3 diverged", of the planned runs."""
    planned = sum(evidence.status_counts(setting).values())
    return ", ".join(f"{n} of {planned} {status}" for status, n in evidence.ended_badly(setting).items())
