"""Measure two sides in turns until enough can be seen, or time is up."""

from __future__ import annotations

import math
import random
import select
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fastbs.ab.remote import Remote
from fastbs.analysis.comparison.estimate import from_pairs
from fastbs.analysis.measured_cell import MeasuredCell
from fastbs.worker.giving_turns import giving_turns

# The probability of any false change that is asked for. Less than 5 %, because the pairs themselves decide how many
# there are: those that agree by chance end it early. With this, at most 4.9 % of comparisons of equals raise an alarm
# (simulated: 1 to 6 rows, spreads of 1 to 6 % between pairs, at least 8 of them).
ALPHA = 0.035
NOTICE = 0.5  # seconds until Ctrl-C is noticed at the latest: the kernel may hand the signal to a thread of the turns


@dataclass(frozen=True)
class Stop:
    """When to stop: every row shows changes of `visible` (a share), or after `seconds`; `least` pairs in any case."""

    visible: float = 0.03
    seconds: float = 20 * 60
    least: int = 8
    most: int | None = None


@dataclass
class Pairs:
    """Outcomes of both sides: outcomes[side][cell] holds one for each round, as `bench_document` takes them."""

    outcomes: tuple[list[list[dict[str, Any]]], list[list[dict[str, Any]]]]
    rounds: int = 0
    ended: str = ""
    seconds: float = 0.0
    visible: list[float | None] = field(default_factory=list)  # smallest visible change of each cell, a share


def measure_in_turns(base: Remote, head: Remote, stop: Stop, progress: Callable[[str], None], seed: int = 0) -> Pairs:
    """Rounds of one fresh process per side and row, in random order of rows.

    The two processes of a pair take turns, block by block, so that a machine which others use too is the same for both;
    who begins changes from round to round. On a GPU both lie in its memory.

    A row that does not end well on one side is measured no further. Both sides have the same number of cells.
    """
    number = len(base.opened["cells"])
    pairs = Pairs(([[] for _ in range(number)], [[] for _ in range(number)]))
    draw, start = random.Random(seed), time.monotonic()
    while True:
        left = [cell for cell in range(number) if _all_ok(pairs, cell)]
        began = time.monotonic()
        for cell in draw.sample(left, len(left)):
            both = _measure_pair((base, head), cell, pairs.rounds)
            for of_side, outcome in zip(pairs.outcomes, both, strict=True):
                of_side[cell].append({"process": pairs.rounds} | outcome)
        pairs.rounds += 1
        pairs.seconds = time.monotonic() - start
        pairs.visible = [_visible(pairs, cell, len(left)) for cell in range(number)]
        progress(_said(pairs))
        pairs.ended = _ended(pairs, stop, next_round=time.monotonic() - began) or ""
        if pairs.ended:
            return pairs


def _measure_pair(sides: tuple[Remote, Remote], cell: int, round: int) -> list[dict[str, Any]]:
    """The outcomes of one fresh process on each side, whose blocks alternate; who is first changes with the round."""
    outcomes: dict[int, dict[str, Any]] = {}
    with giving_turns(len(sides), first=round % 2) as turns:
        for party, side in enumerate(sides):
            side.tell("measure", cell=cell, round=round, turns=f"{turns.address} {party}")
        while len(outcomes) < len(sides):
            missing = [party for party in range(len(sides)) if party not in outcomes]
            answered, _, _ = select.select([sides[party] for party in missing], [], [], NOTICE)
            for party in (party for party in missing if sides[party] in answered):
                outcomes[party] = sides[party].answer()
                turns.left(party)  # also when it never came to the first turn
    return [outcomes[party] for party in range(len(sides))]


def _ended(pairs: Pairs, stop: Stop, next_round: float) -> str | None:
    """Why no further round is measured; None if one is."""
    left = [cell for cell in range(len(pairs.visible)) if _all_ok(pairs, cell)]
    if not left:
        return "no row is left"
    seen = [pairs.visible[cell] for cell in left]
    if pairs.rounds >= stop.least and all(change is not None and change <= stop.visible for change in seen):
        return f"changes of {100 * stop.visible:g} % are visible in every row"
    if stop.most is not None and pairs.rounds >= stop.most:
        return f"{stop.most} pairs are measured"
    if pairs.rounds >= 2 and pairs.seconds + next_round > stop.seconds:
        return f"{stop.seconds / 60:g} minutes are over"
    return None


def _all_ok(pairs: Pairs, cell: int) -> bool:
    return all(outcome["status"] == "ok" for side in pairs.outcomes for outcome in side[cell])


def log_ratios(pairs: Pairs, cell: int) -> list[float]:
    """Of each round in which both sides are ok: log of head's seconds per call over base's."""
    base, head = (MeasuredCell("", {}, side[cell]).seconds for side in pairs.outcomes)
    return [math.log(head[number] / base[number]) for number in sorted(base.keys() & head.keys())]


def _visible(pairs: Pairs, cell: int, rows: int) -> float | None:
    """At the strictest level at which one of `rows` rows is tested; None with fewer than two pairs."""
    ratios = log_ratios(pairs, cell)
    if len(ratios) < 2:
        return None
    return math.expm1(from_pairs(ratios).smallest_visible(ALPHA / max(1, rows)))


def _said(pairs: Pairs) -> str:
    seen = [change for change in pairs.visible if change is not None]
    rest = f", smallest visible change {100 * max(seen):.1f} %" if seen else ""
    return f"round {pairs.rounds}{rest}, {pairs.seconds:.0f} s"
