"""The post's question, accuracy or training time, answered with a setting."""

from __future__ import annotations

import statistics
from typing import Any

from fastbs.analysis.arms import MAIN, RATE_CONTROLS, SAME_UPDATES
from fastbs.analysis.choice import Option, fastest_as_good, fastest_to_target, options, target_ratio
from fastbs.analysis.evidence import Evidence, Setting
from fastbs.analysis.finding import Finding, Verdict, number
from fastbs.analysis.interval import Interval
from fastbs.analysis.phrases import duration, margin_points, percent_interval, points_interval, top1

CLAIM = "accuracy or time?"


def choice_claim(evidence: Evidence) -> Finding:
    """Whether one has to choose, at the end of the budget; with a target, first what reaches it soonest.

    Where runs ended at their target or at a limit of seconds only the time to the target is compared: not seen here if
    another size is proven to need less, else cannot tell. Otherwise:

    true: some setting is proven faster than the smallest size, and every one that may be faster, controls included, is
    proven to lose the margin or more. true for another reason: a control with a scaled rate is faster and as good,
    and at its batch size without it a loss is proven: the rate was at fault and not the size. not seen here: some other
    setting is faster and as good, or none can be faster. cannot tell: anything else.
    """
    if evidence.unequal:
        verdict: Verdict = "not seen here" if _sooner(evidence) else "cannot tell"
        text = _target(evidence) or f"{_capital(evidence.unequal)}."
        return Finding(CLAIM, verdict, text, _numbers(evidence, [], None))
    found = options(evidence)
    best = fastest_as_good(found)
    verdict = _verdict(found, best)
    parts = [_target(evidence), _end(evidence, found, best, verdict)]
    return Finding(CLAIM, verdict, " ".join(part for part in parts if part), _numbers(evidence, found, best))


def _sooner(evidence: Evidence) -> bool:
    """Whether another setting than the smallest is proven to reach the target sooner."""
    soonest = fastest_to_target(evidence)
    ratio = target_ratio(evidence, soonest) if soonest and soonest != evidence.smallest else None
    return ratio is not None and ratio.bounded and ratio.high < 1


def _verdict(found: list[Option], best: Option | None) -> Verdict:
    if best:
        without = [o for o in found if o.setting == Setting(MAIN, best.setting.batch_size)]
        at_fault = any(option.difference and option.difference.high < 0 for option in without)
        return "true for another reason" if best.setting.arm in RATE_CONTROLS and at_fault else "not seen here"
    if found and not any(option.may_be_faster for option in found):
        return "not seen here"
    proven = any(option.faster for option in found)
    return "true" if proven and all(o.worse for o in found if o.may_be_faster) else "cannot tell"


def _target(evidence: Evidence) -> str:
    if evidence.target is None:
        return ""
    goal, smallest = top1(evidence.target), name(evidence, evidence.smallest)
    setting = fastest_to_target(evidence)
    if setting is None:
        return f"No setting reaches {goal} in more than half of its runs."
    after = duration(evidence.median_time_to_target(setting) or 0.0)
    first = f"{_capital(name(evidence, setting))} has the least median time to {goal} ({after})"
    if setting == evidence.smallest:
        return f"{first}."
    ratio = target_ratio(evidence, setting)
    if ratio is None:
        return f"{first}; not every run of it and of {smallest} gets there."
    if not ratio.bounded or ratio.high >= 1:
        return f"{first}; that it is sooner there than {smallest} is not proven."
    return f"{first}, {percent_interval(ratio)} of that of {smallest}."


def _end(evidence: Evidence, found: list[Option], best: Option | None, verdict: Verdict) -> str:
    smallest = name(evidence, evidence.smallest)
    if best and best.time and best.difference:
        mean = top1(statistics.fmean(evidence.top1(best.setting).values()))
        text = f"Neither: {name(evidence, best.setting)} gives {mean} ({points_interval(best.difference)} points)"
        return f"{text} in {percent_interval(best.time)} of the time of {smallest}.{_picked(found)}"
    if verdict == "not seen here":
        return f"No setting can be faster than {smallest} by 5 %."
    if not any(option.time and option.time.bounded for option in found):
        return f"No other setting can be compared with {smallest}: two seeds of both, with times, are needed."
    margin = margin_points(evidence.margin)
    closest = _closest(found)
    if closest is None:
        return f"That a setting is faster than {smallest} is not proven."
    if verdict == "true":
        lost = f"Whatever may be faster than {smallest} loses more than {margin}"
        return f"{lost}; the least, {_told(evidence, closest)}."
    doubt = f"Whether all that may be faster than {smallest} loses more than {margin} is not proven either way"
    return f"{doubt}; the closest, {_told(evidence, closest)}."


def _picked(found: list[Option]) -> str:
    """That the option was picked by its own numbers, where there was a choice: the winner's curse."""
    return f" (Picked among {len(found)} by these numbers, which flatter it.)" if len(found) > 1 else ""


def _closest(found: list[Option]) -> Option | None:
    """Of those that are proven faster, by 5 % perhaps, and have two seeds, the one that loses least on the mean."""
    faster = [option for option in found if option.faster and option.may_be_faster]
    known = [
        (option.difference.estimate, option) for option in faster if option.difference and option.difference.bounded
    ]
    return max(known, key=lambda pair: pair[0], default=(0.0, None))[1]


def _told(evidence: Evidence, option: Option) -> str:
    assert option.time and option.difference
    difference, time = points_interval(option.difference), percent_interval(option.time)
    return f"{name(evidence, option.setting)}, is {difference} points from it in {time} of the time"


def name(evidence: Evidence, setting: Setting) -> str:
    """A setting in words: "batch 8", "batch 8 with lr 0.008"."""
    if setting.arm == MAIN:
        return f"batch {setting.batch_size}"
    if setting.arm == SAME_UPDATES:
        times = setting.batch_size / evidence.smallest.batch_size
        return f"batch {setting.batch_size} with as many updates, on {times:g} times the images"
    return f"batch {setting.batch_size} with lr {evidence.lr(setting):g}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _numbers(evidence: Evidence, found: list[Option], best: Option | None) -> dict[str, Any]:
    soonest = fastest_to_target(evidence) if evidence.target is not None else None
    ratio: Interval | None = target_ratio(evidence, soonest) if soonest else None
    return {
        "target": evidence.target,
        "margin": evidence.margin,
        "first_to_target": _setting(evidence, soonest),
        **number("target_time_ratio", ratio),
        "fastest_as_good": _setting(evidence, best.setting if best else None),
        **number("time_ratio", best.time if best else None),
        **number("difference", best.difference if best else None),
        "options": [
            {
                **option.setting._asdict(),
                **number("time_ratio", option.time),
                **number("difference", option.difference),
                "faster": option.faster,
                "may_be_faster": option.may_be_faster,
                "as_good": option.as_good,
                "worse": option.worse,
            }
            for option in found
        ],
    }


def _setting(evidence: Evidence, setting: Setting | None) -> dict[str, Any] | None:
    return {**setting._asdict(), "lr": evidence.lr(setting)} if setting else None
