"""Two sides in turns: who is measured when, when it ends, and how often what is said of the pairs is true."""

import json
import math
import random
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from fastbs.ab import interleave, run
from fastbs.ab.interleave import Stop, log_ratios, measure_in_turns
from fastbs.ab.run import Arm, run_ab
from fastbs.ab.worktree import Tree
from fastbs.analysis.bench_identity import IDENTITY
from fastbs.analysis.comparison.gate import DEFAULT_GATE, Gate
from fastbs.analysis.comparison.options import Options
from fastbs.errors import BadInput

TRIALS = 120


class Machine:
    """A machine that both sides share: it says how long a call takes (s), and remembers who asked."""

    def __init__(self, seconds=lambda side, cell, round: 0.001, failing=()):
        self.seconds, self.failing = seconds, failing
        self.asked = []

    def side(self, name, cells, settings=None):
        told = []
        return SimpleNamespace(
            name=name,
            tree=Tree(None, f"commit of {name}", dirty=False),
            tell=lambda what, cell, round, turns: told.append(self._measure(name, cell, round, turns)),
            answer=told.pop,
            opened={
                "cells": cells,
                "settings": {"plan": {}, "device": "cpu", "threads": 1, "dataset": None, "models": {}}
                | (settings or {}),
                "machine": {},
                "timed": "invented",
            },
        )

    def _measure(self, side, cell, round, turns):
        self.asked.append((round, cell, side, turns))
        if (side, cell, round) in self.failing:
            return {"status": "oom", "reason": "no memory", "value": None}
        block = [100, 100 * self.seconds(side, cell, round), 0, None]
        return {"status": "ok", "reason": None, "value": {"blocks": [block, block], "images": 1}}


def cells(*sizes, name="f.py:f"):
    return [{"question": "step", "identity": {"name": name, "batch_size": size}} for size in sizes]


def noisy(seed, *, sd=0.01, slower=1.0):
    """Every process has its luck (`sd`), every pair its own (three times that), and B is `slower`."""

    def seconds(side, cell, round):
        luck, of_pair = (random.Random(f"{seed} {name} {cell} {round}").gauss(0, 1) for name in (side, "both"))
        return 0.001 * (slower if side == "B" else 1.0) * math.exp(sd * (luck + 3 * of_pair))

    return seconds


def measured(machine, stop, sizes=(1, 8, 32), progress=lambda text: None, seed=0):
    return measure_in_turns(
        machine.side("A", cells(*sizes)), machine.side("B", cells(*sizes)), stop, progress, seed=seed
    )


@pytest.fixture(autouse=True)
def firsts(monkeypatch):
    """Which side began in each pair, in the order of pairs; no turns are given, for none of these processes is real."""
    begun = []

    @contextmanager
    def giving_turns(parties, first):
        begun.append(first)
        yield SimpleNamespace(address=f"pair {len(begun)}", left=lambda party: None)

    monkeypatch.setattr(interleave, "giving_turns", giving_turns)
    monkeypatch.setattr(interleave, "select", SimpleNamespace(select=lambda read, *_: (read, [], [])))
    return begun


@pytest.fixture
def compared(monkeypatch):
    """compared(machine, ...) is `run_ab` where that machine measures."""

    def compare(machine, *, sizes=(1, 8, 32), settings=({}, {}), rows=None, stop=None, gate="", workload=({}, {})):
        @contextmanager
        def opened(arms, plan, folder):
            asked = rows or (cells(*sizes), cells(*sizes))
            yield tuple(machine.side(arm.name, *each) for arm, *each in zip(arms, asked, workload, strict=True))

        monkeypatch.setattr(run, "opened", opened)
        return run_ab(
            (Arm("A", "main", settings[0]), Arm("B", ".", settings[1])),
            {},
            folder=None,
            stop=stop or Stop(),
            options=Options(alpha=interleave.ALPHA),
            gate=Gate.parse(gate or DEFAULT_GATE, "gate"),
            progress=lambda text: None,
        )

    return compare


def test_every_round_measures_every_row_once_a_side_both_sides_of_a_row_in_turns():
    machine = Machine()
    pairs = measured(machine, Stop(least=6))
    assert pairs.rounds == 6 and len(machine.asked) == 6 * 3 * 2
    for number in range(6):
        asked = [(cell, side) for round, cell, side, _ in machine.asked if round == number]
        assert sorted(asked) == [(cell, side) for cell in range(3) for side in "AB"]
    turns = {(round, cell, side): turns for round, cell, side, turns in machine.asked}
    for round, cell, _ in turns:
        (of_a, a), (of_b, b) = (turns[round, cell, side].rsplit(" ", 1) for side in "AB")
        assert of_a == of_b and (a, b) == ("0", "1")


def test_who_begins_changes_every_round(firsts):
    measured(Machine(), Stop(least=6))
    assert firsts == [0, 0, 0, 1, 1, 1] * 3


def test_rows_come_in_another_order_from_round_to_round_the_same_in_every_run():
    def order(seed):
        machine = Machine()
        measured(machine, Stop(least=8), sizes=range(1, 7), seed=seed)
        return [[cell for round, cell, side, _ in machine.asked if (round, side) == (n, "A")] for n in range(8)]

    assert len(set(map(tuple, order(0)))) > 4
    assert order(0) == order(0) != order(1)


@pytest.mark.parametrize("side", ["A", "B"])
def test_a_row_that_ends_badly_on_a_side_is_measured_no_further_and_the_others_go_on(side):
    machine = Machine(failing={(side, 1, 2)})
    pairs = measured(machine, Stop(least=5))
    assert max(round for round, cell, *_ in machine.asked if cell == 1) == 2
    assert (
        [len(of_cell) for of_cell in pairs.outcomes[0]] == [len(of_cell) for of_cell in pairs.outcomes[1]] == [5, 3, 5]
    )
    assert len(log_ratios(pairs, 1)) == 2


def test_when_no_row_is_left_it_ends_and_says_so():
    pairs = measured(Machine(failing={("A", 0, 0), ("B", 1, 1)}), Stop(least=5), sizes=(1, 2))
    assert (pairs.rounds, pairs.ended) == (2, "no row is left")


def test_log_ratios_are_of_head_over_base_in_each_round():
    speed = {"A": 0.001, "B": 0.002}
    pairs = measured(Machine(lambda side, cell, round: speed[side] * (1 + round)), Stop(least=4), sizes=(1,))
    assert log_ratios(pairs, 0) == pytest.approx([math.log(2)] * 4)


def test_it_goes_on_until_such_changes_are_visible_in_every_row():
    def seconds(side, cell, round):  # row 1 is ten times as noisy, by no more than its sign
        return 0.001 * math.exp((0.001, 0.01)[cell] * (-1) ** (round // 2 + (side == "B")))

    ends = {}
    for visible in (0.5, 0.03, 0.015):
        pairs = measured(Machine(seconds), Stop(visible=visible, least=3), sizes=(1, 2))
        assert (
            max(pairs.visible) <= visible and pairs.ended == f"changes of {100 * visible:g} % are visible in every row"
        )
        ends[visible] = pairs.rounds
    assert 3 == ends[0.5] < ends[0.03] < ends[0.015]


def test_what_is_said_to_be_visible_falls_as_pairs_are_added():
    said = []
    measured(Machine(noisy(1)), Stop(visible=0.001, most=30, least=2), progress=said.append)
    seen = [float(text.split("change ")[1].split(" %")[0]) for text in said if "change" in text]
    assert len(said) == 30 and seen[0] > 4 * seen[-1]


def test_time_ends_it_before_a_round_that_would_not_fit_but_not_before_two_pairs(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(interleave, "time", clock)

    def seconds(side, cell, round):
        clock.now += 10
        return 0.001 * (1 + 0.5 * (-1) ** (round + (side == "B")))

    pairs = measured(Machine(seconds), Stop(seconds=95, least=8), sizes=(1,))  # 20 s a round
    assert (pairs.rounds, pairs.ended) == (4, "1.58333 minutes are over")
    assert measured(Machine(seconds), Stop(seconds=1, least=8), sizes=(1,)).rounds == 2


def test_what_slows_both_sides_of_a_pair_is_no_change(compared):
    """Rounds differ by up to 40 %, the sides of one by nothing that matters."""
    document, _ = compared(
        Machine(lambda side, cell, round: noisy(3, sd=0.001)(side, cell, round) * (1 + round % 5 / 10))
    )
    assert {row["verdict"] for row in document["rows"]} == {"same"}
    assert all(max(map(abs, row["interval"])) < 0.01 for row in document["rows"])


@pytest.mark.parametrize("sd", [0.005, 0.03])
def test_the_same_code_raises_an_alarm_in_no_more_than_5_percent_of_comparisons(compared, sd):
    alarms = sum(
        not {"slower", "faster"}.isdisjoint(compared(Machine(noisy(seed, sd=sd)))[0]["counts"])
        for seed in range(TRIALS)
    )
    assert alarms / TRIALS <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / TRIALS)


def test_a_slowdown_of_5_percent_is_found_in_9_of_10_rows_and_its_interval_holds_it(compared):
    found = held = 0
    for seed in range(40):
        document, pairs = compared(Machine(noisy(seed, sd=0.02, slower=1.05)))
        assert "visible" in pairs.ended
        found += document["counts"].get("slower", 0)
        held += sum(row["interval"][0] <= 1 / 1.05 - 1 <= row["interval"][1] for row in document["rows"])
    assert found / 120 >= 0.9 and held / 120 >= 0.95


def test_the_document_says_pairs_both_commits_and_how_many(compared):
    document, pairs = compared(Machine(noisy(1, slower=1.2)))
    assert [document[side]["commit"] for side in ("base", "head")] == ["commit of A", "commit of B"]
    for row in document["rows"]:
        assert row["spread_from"] == "pairs" and row["verdict"] == "slower" and row["worse"] is True
        assert row["base"]["processes"] == row["head"]["processes"] == pairs.rounds
    assert document["gate"]["exit_code"] == 1 and json.dumps(document, allow_nan=False)


def test_swapping_the_sides_flips_every_change(compared):
    def at(slow):
        return Machine(
            lambda side, cell, round: 0.001 * (1.1 if side == slow else 1) * (1 + 0.01 * math.sin(9 * round))
        )

    one, other = (compared(at(slow))[0]["rows"] for slow in "AB")
    assert [row["verdict"] for row in one + other] == ["faster"] * 3 + ["slower"] * 3
    for a, b in zip(one, other, strict=True):
        assert (1 + a["change"]) * (1 + b["change"]) == pytest.approx(1)


def test_a_row_that_fails_in_head_alone_fails_the_gate_and_one_that_fails_in_both_does_not(compared):
    document, _ = compared(Machine(noisy(1), failing={("B", 0, 1)}))
    assert document["rows"][0]["verdict"] == "failed" and document["gate"]["exit_code"] == 1
    document, _ = compared(Machine(noisy(1), failing={("A", 0, 1), ("B", 0, 1)}))
    assert document["rows"][0]["verdict"] == "not ok" and document["gate"]["exit_code"] == 0


def test_settings_that_differ_name_no_row_and_do_not_forbid_the_comparison(compared):
    rows = cells(1, 2, 8, name="f.py:f"), cells(1, 2, 8, name="g.py:g")
    document, _ = compared(
        Machine(lambda side, cell, round: 0.001 * (1.5 if side == "B" else 1) * (1 + 0.01 * math.sin(9 * round))),
        rows=rows,
        settings=({}, {"function": "g.py:g", "threads": 2}),
        workload=({"threads": 1}, {"threads": 2}),
    )
    assert [(row["batch_size"], row["verdict"]) for row in document["rows"]] == [(n, "slower") for n in (1, 2, 8)]
    assert all("name" not in row["key"] for row in document["rows"])
    [curve] = document["curves"]
    assert curve["within_5_percent"] == [1, 1] and "name" not in curve["key"]
    assert document["gate"]["exit_code"] == 1


def test_another_workload_that_nobody_asked_for_is_not_comparable(compared):
    document, _ = compared(Machine(noisy(2)), workload=({"threads": 1}, {"threads": 2}))
    assert document["gate"]["exit_code"] == 3


def test_sides_with_other_rows_are_refused_before_anything_is_measured(compared):
    machine = Machine()
    with pytest.raises(BadInput, match="A and B do not measure the same rows"):
        compared(machine, rows=(cells(1, 8), cells(1, 16)))
    with pytest.raises(BadInput, match="several values on one side"):
        both = cells(1, name="f.py:f") + cells(1, name="g.py:g")
        compared(machine, rows=(both, both), settings=({}, {"function": "f.py:f"}))
    assert machine.asked == []


@pytest.mark.parametrize("question", ["throughput", "inference"])
def test_how_a_pass_is_executed_can_differ_between_the_sides(question):
    """Whatever a question calls it."""
    assert set(IDENTITY[question]) & run._named({"steps"})
