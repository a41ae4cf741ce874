"""Whether the sentences of a summary agree with its numbers, and its numbers with each other."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]
BRACKET = re.compile(r"([-+]?\d[\d,.]*) ?%? \[([^\],]+), ([^\]]+)\]")
POINTS, PERCENT = 0.0501, 0.501  # half of the last digit that is printed: of points, of per cent


def contradictions(document: Json) -> list[str]:
    """What a reader could catch the summary at, a sentence each; empty where all agree."""
    time, accuracy, _, choice = document["findings"]
    found = [problem for finding in document["findings"] for problem in _brackets(finding["text"])]
    return [*found, *_time(time), *_accuracy(accuracy), *_choice(choice)]


def _brackets(text: str) -> Iterator[str]:
    """Every estimate lies in its own bracket."""
    for match in BRACKET.finditer(text):
        value, low, high = (_number(part) for part in match.groups())
        if None not in (value, low, high) and not low <= value <= high:  # type: ignore[operator]
            yield f"{match[0]}: the estimate lies outside"


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def _after(text: str, words: str) -> tuple[float, float, float] | None:
    """The first bracket behind `words`: estimate, low, high as printed."""
    match = BRACKET.search(text, text.find(words)) if words in text else None
    found = [_number(part) for part in match.groups()] if match else []
    return (found[0], found[1], found[2]) if found and None not in found else None  # type: ignore[return-value]


def _printed(text: str, words: str, numbers: Json, name: str, half: float) -> Iterator[str]:
    """What is printed behind `words` is the number of this name and its interval."""
    there, bounds = _after(text, words), numbers.get(f"{name}_interval")
    if there and bounds:
        for printed, exact in zip(there, (numbers[name], *bounds), strict=True):
            if abs(printed - 100 * exact) > half:
                yield f"{words} {printed}: {name} is {100 * exact}"


def _time(finding: Json) -> Iterator[str]:
    numbers, text, verdict = finding["numbers"], finding["text"], finding["verdict"]
    saved, bounds = numbers["saving_1_to_2"], numbers["saving_1_to_2_interval"]
    if verdict == "true" and not (bounds and 0.345 <= saved <= 0.455):
        yield f"saving {saved} {bounds} is called almost 40 %"
    if verdict == "not seen here" and not (bounds and (bounds[1] < 0.35 or bounds[0] > 0.45)):
        yield f"saving {saved} {bounds} is not excluded to be almost 40 %"
    if "no batch size saves more" in text and numbers["most_any_size_can_save"] is None:
        yield "a limit is printed that is no number"


def _accuracy(finding: Json) -> Iterator[str]:
    numbers, text, verdict = finding["numbers"], finding["text"], finding["verdict"]
    if verdict.startswith("true"):
        bounds = numbers["slope_per_doubling_interval"]
        steps = numbers["from_smallest"]
        straight = "points per doubling" in text
        proven = bounds[1] if straight else steps[-1]["difference_interval"][1]
        if proven >= 0:
            yield f"a fall is called proven with an interval up to {proven}"
        if numbers["rises"]:
            yield f"a fall is called proven beside rises {numbers['rises']}"
    if "points per doubling" in text:
        yield from _printed(text, "", numbers, "slope_per_doubling", POINTS)
    ratio = (numbers["control_at"] or 0) / (numbers["batch_sizes"] or [1])[0]
    words = {"scaled-lr": f"ith lr x{ratio:g}", "root-lr": f"ith lr x{math.sqrt(ratio):.3g}"}
    words["same-updates"] = "ith as many updates"
    for arm in words.keys() & numbers["controls"].keys():
        if "WHY" in text:
            yield from _printed(text, words[arm], numbers["controls"][arm], "left_over", POINTS)
    cause, excluded = numbers["cause"], numbers["excluded_loss"]
    rates = [control for arm, control in numbers["controls"].items() if arm != "same-updates"]
    if (verdict == "true for another reason") != (verdict.startswith("true") and cause == "rate"):
        yield f"verdict {verdict}, cause {cause}"
    if excluded is not None and all(control["left_over_interval"][0] <= -excluded for control in rates):
        yield f"a loss beyond {excluded} is excluded by no control"
    if ("NOT SUPPORTED" in text) and excluded is None:
        yield "NOT SUPPORTED without an exclusion"
    if "gives back" in text and numbers["controls"]["scaled-lr"]["gain_interval"][0] <= 0:
        yield "a gain that is not proven is said to give back"
    if verdict == "true" and not all(control["left_over_interval"][1] < 0 for control in numbers["controls"].values()):
        yield "TRUE although a control may leave nothing"


def _choice(finding: Json) -> Iterator[str]:
    numbers, text, verdict = finding["numbers"], finding["text"], finding["verdict"]
    margin, options = numbers["margin"], numbers["options"]
    if "Neither" in text:
        if numbers["difference_interval"][0] <= -margin or numbers["time_ratio_interval"][1] >= 1:
            yield f"Neither, with {numbers['difference_interval']} in {numbers['time_ratio_interval']}"
        yield from _printed(text, "Neither", numbers, "difference", POINTS)
        yield from _printed(text, "points) in", numbers, "time_ratio", PERCENT)
    if ("Neither" in text) != (numbers["fastest_as_good"] is not None):
        yield "a setting is named in one place only"
    for option in options:
        if verdict == "true" and option["may_be_faster"]:
            bounds = option["difference_interval"]
            if not bounds or bounds[1] >= -margin:
                yield f"TRUE although {option['arm']} {option['batch_size']} may be faster and lose {bounds}"
        if "No setting can be faster" in text and option["may_be_faster"]:
            yield f"{option['arm']} {option['batch_size']} may be faster after all"
    if "loses more than" in text and (closest := _after(text, "the least,")) and closest[2] > -100 * margin + POINTS:
        yield f"the least is {closest}"
