"""Why accuracy falls, in sentences."""

from __future__ import annotations

from fastbs.analysis.arms import RATE_CONTROLS, ROOT_LR, SAME_UPDATES, SCALED_LR, rate_factor
from fastbs.analysis.controls import Attribution, attribute
from fastbs.analysis.evidence import Evidence, Setting
from fastbs.analysis.phrases import margin_points, points_interval


def attribution(evidence: Evidence) -> Attribution | None:
    """The controls of a sweep; None where there is only one size, no seed has both, or one has runs that ended badly.

    A control with runs that ended badly is left out: its survivors are not a fair sample.
    """
    smallest, at = evidence.smallest, evidence.control_at
    if at == smallest or evidence.ended_badly(smallest) or evidence.ended_badly(at):
        return None
    arms = {setting.arm: evidence.top1(setting) for setting in evidence.controls if not evidence.ended_badly(setting)}
    return attribute(evidence.top1(smallest), evidence.top1(at), arms, evidence.spread, evidence.margin)


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
    without = f"batch {at} is {points_interval(reasons.difference)} points from batch {smallest}"
    if reasons.loss != "proven":
        return f"WHY is open: at the controls' size no loss is proven ({without})."
    tried = _tried(evidence, reasons)
    if not tried:
        return f"WHY is not known: no control has run ({without})."
    beyond = "" if evidence.control_at == evidence.sizes[-1] else f" No control was run beyond batch {at}."
    return f"WHY{_cause(reasons, without)} {tried}.{_conclusion(reasons)}{beyond}"


def _cause(reasons: Attribution, without: str) -> str:
    head = {
        "rate": ": the rate was not scaled with the batch",
        "size": ": the batch size itself, as far as these controls reach",
        "open": " is open",
    }
    return f"{head[reasons.cause]} ({without})."


def _tried(evidence: Evidence, reasons: Attribution) -> str:
    """What is left of the loss under each control, scaled rates first: they alone see as many images."""
    at, smallest = evidence.control_at.batch_size, evidence.smallest.batch_size
    ratio = at / smallest
    how = {arm: f"with lr x{rate_factor(arm, ratio):.3g}" for arm in RATE_CONTROLS}
    how[SAME_UPDATES] = f"with as many updates as batch {smallest}, on {ratio:g} times the images,"
    said = [
        f"{how[arm]} it is {points_interval(reasons.controls[arm].left_over)}" for arm in how if arm in reasons.controls
    ]
    said += [f"{how[s.arm].rstrip(',')}, {_lost(evidence, s)}" for s in evidence.controls if evidence.ended_badly(s)]
    text = "; ".join(said)
    return text[:1].upper() + text[1:]


def _conclusion(reasons: Attribution) -> str:
    if reasons.excluded_loss is not None:
        beyond = margin_points(reasons.excluded_loss)
        return f' "Averaging costs accuracy" is NOT SUPPORTED here: a loss beyond {beyond} is excluded.'
    if reasons.cause == "size":
        return "" if ROOT_LR in reasons.controls else " Other rates were not tried."
    said = []
    scaled, same = reasons.controls.get(SCALED_LR), reasons.controls.get(SAME_UPDATES)
    if scaled and scaled.gain.low > 0:
        said.append(f"the scaled rate gives back {points_interval(scaled.gain)} points")
    if same and same.gain.low > 0:
        said.append("whether as many updates help by their number or by their images, no accuracy can tell")
    text = "; ".join(said)
    return f" {text[:1].upper()}{text[1:]}." if text else ""


def _lost(evidence: Evidence, setting: Setting) -> str:
    """ "2 of 3 diverged", of the planned runs."""
    planned = sum(evidence.status_counts(setting).values())
    return ", ".join(f"{n} of {planned} {status}" for status, n in evidence.ended_badly(setting).items())
