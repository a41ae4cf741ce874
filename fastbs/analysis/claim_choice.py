"""The post's question, accuracy or training time, answered with a setting."""

from __future__ import annotations

import statistics
from typing import Any

from fastbs.analysis.arms import MAIN, SAME_UPDATES
from fastbs.analysis.choice import Option, fastest_as_good, fastest_to_target, options, target_ratio
from fastbs.analysis.evidence import Evidence, Setting
from fastbs.analysis.finding import Finding, Verdict, number
from fastbs.analysis.interval import Interval
from fastbs.analysis.phrases import duration, percent_interval, points_interval, top1


def choice_claim(evidence: Evidence) -> Finding:
    """Whether one has to choose, at the end of the budget; with a target, first what reaches it soonest.

    Where runs ended at their target or at a limit of seconds only the time to the target is compared: not seen here if
    another size is proven to need less, else cannot tell. Otherwise:

    true: every size that is proven faster than the smallest is proven less accurate. true for another reason: a control
    is faster and as good although its batch size without it is worse, so that the rate was at fault and not the size.
    not seen here: some other setting is faster and as good, or none is faster. cannot tell: anything else.
    """
    if evidence.unequal:
        verdict: Verdict = "not seen here" if _sooner(evidence) else "cannot tell"
        text = _target(evidence) or f"{_capital(evidence.unequal)}."
        return Finding("accuracy or time?", verdict, text, _numbers(evidence, None))
    found = options(evidence)
    best = fastest_as_good(found)
    verdict = _verdict(found, best)
    parts = [_target(evidence), _end(evidence, found, best, verdict)]
    return Finding("accuracy or time?", verdict, " ".join(part for part in parts if part), _numbers(evidence, best))


def _sooner(evidence: Evidence) -> bool:
    """Whether another setting than the smallest is proven to reach the target sooner."""
    soonest = fastest_to_target(evidence)
    ratio = target_ratio(evidence, soonest) if soonest and soonest != evidence.smallest else None
    return ratio is not None and ratio.bounded and ratio.high < 1


def _verdict(found: list[Option], best: Option | None) -> Verdict:
    main = [option for option in found if option.setting.arm == MAIN]
    if best:
        without = [option for option in main if option.setting.batch_size == best.setting.batch_size]
        return "true for another reason" if any(option.worse for option in without) else "not seen here"
    if not main or not all(option.time.bounded for option in main):
        return "cannot tell"
    faster = [option for option in main if option.faster]
    if not faster:
        return "not seen here"
    return "true" if all(option.worse for option in faster) else "cannot tell"


def _target(evidence: Evidence) -> str:
    if evidence.target is None:
        return ""
    goal, smallest = top1(evidence.target), name(evidence, evidence.smallest)
    setting = fastest_to_target(evidence)
    if setting is None:
        return f"No setting reaches {goal} in more than half of its runs."
    after = duration(evidence.median_time_to_target(setting) or 0.0)
    if setting == evidence.smallest:
        return f"No setting reaches {goal} sooner than {smallest} ({after})."
    ratio = target_ratio(evidence, setting)
    first = _capital(name(evidence, setting))
    if ratio is None:
        return f"{first} is the first to {goal} ({after}); not every run of both gets there."
    return f"{first} gives {goal} in {percent_interval(ratio)} of the time of {smallest}."


def _end(evidence: Evidence, found: list[Option], best: Option | None, verdict: Verdict) -> str:
    smallest = name(evidence, evidence.smallest)
    if not found:
        return f"No other setting can be compared with {smallest}: none has an ok run with the same seed."
    if best:
        mean = top1(statistics.fmean(evidence.top1(best.setting).values()))
        text = f"Neither: {name(evidence, best.setting)} gives {mean} ({points_interval(best.difference)} points)"
        return f"{text} in {percent_interval(best.time)} of the time of {smallest}."
    if verdict == "not seen here":
        return f"No batch size is shown to be faster than {smallest}."
    closest = max((o for o in found if o.time.estimate < 1), key=lambda o: o.difference.estimate, default=None)
    if closest is None:
        return f"No setting is faster than {smallest}."
    told = f"{name(evidence, closest.setting)}, is {points_interval(closest.difference)} points"
    told += f" from it in {percent_interval(closest.time)} of the time."
    if verdict == "true":
        return f"Nothing faster than {smallest} is as accurate; the closest, {told}"
    return f"Whether anything faster than {smallest} is as accurate is open; the closest, {told}"


def name(evidence: Evidence, setting: Setting) -> str:
    """A setting in words: "batch 8", "batch 8 with lr 0.008"."""
    if setting.arm == MAIN:
        return f"batch {setting.batch_size}"
    if setting.arm == SAME_UPDATES:
        return f"batch {setting.batch_size} with as many updates"
    return f"batch {setting.batch_size} with lr {evidence.lr(setting):g}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _numbers(evidence: Evidence, best: Option | None) -> dict[str, Any]:
    soonest = fastest_to_target(evidence)
    ratio: Interval | None = target_ratio(evidence, soonest) if soonest else None
    return {
        "target": evidence.target,
        "first_to_target": _setting(evidence, soonest),
        **number("target_time_ratio", ratio),
        "fastest_as_good": _setting(evidence, best.setting if best else None),
        **number("time_ratio", best.time if best else None),
        **number("difference", best.difference if best else None),
    }


def _setting(evidence: Evidence, setting: Setting | None) -> dict[str, Any] | None:
    return {**setting._asdict(), "lr": evidence.lr(setting)} if setting else None
