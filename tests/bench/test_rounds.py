"""The order in which cells are measured, and what becomes of those that fail."""

from collections import Counter

import pytest

from fastbs import worker
from fastbs.bench.cells import Cell
from fastbs.bench.rounds import measure_rounds
from fastbs.errors import BadInput


def cells(names):
    return [
        Cell(question="step", identity={"name": name}, target="t:f", arguments={"name": name, "seed": 0}, threads=1)
        for name in names
    ]


@pytest.fixture
def calls(monkeypatch):
    """Every call of a fresh process, as (name, seed); `endings` says how those of a name end."""
    made = []

    def call(target, arguments, **_):
        made.append((arguments["name"], arguments["seed"]))
        ending = call.endings.get(arguments["name"], worker.Outcome("ok", None, {"blocks": []}, 1.0))
        return ending

    call.endings = {}
    monkeypatch.setattr(worker, "call", call)
    made_and_endings = made, call.endings
    return made_and_endings


def test_every_round_measures_every_cell_once_in_an_order_of_its_own(calls):
    made, _ = calls
    outcomes = measure_rounds(cells("abcdefgh"), 4, lambda *_: None)
    assert Counter(made) == {(name, seed): 1 for name in "abcdefgh" for seed in range(4)}
    rounds = [[name for name, seed in made if seed == number] for number in range(4)]
    assert [seed for _, seed in made] == sorted(seed for _, seed in made), "one round after the other"
    assert len({tuple(order) for order in rounds}) == 4
    assert all([outcome["process"] for outcome in own] == [0, 1, 2, 3] for own in outcomes)


@pytest.mark.parametrize("status", ["oom", "failed", "unsupported"])
def test_a_cell_that_does_not_end_ok_is_told_once_and_the_others_go_on(calls, status):
    made, endings = calls
    endings["b"] = worker.Outcome(status, "why", None, 1.0)
    outcomes = measure_rounds(cells("abc"), 3, lambda *_: None)
    assert [len(own) for own in outcomes] == [3, 1, 3]
    assert outcomes[1][0]["status"] == status and outcomes[1][0]["reason"] == "why"


def test_bad_input_ends_everything_at_once(calls):
    made, endings = calls
    endings["b"] = worker.Outcome("failed", "model: 'b' is unknown", None, 1.0, bad_input=True)
    with pytest.raises(BadInput, match="'b' is unknown"):
        measure_rounds(cells("b"), 3, lambda *_: None)
    assert len(made) == 1
