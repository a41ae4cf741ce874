"""What is timed against each other makes the same updates."""

import pytest
import torch

from fastbs.bench import front_end_cost
from fastbs.bench.front_end_cost import as_table
from fastbs.bench.update_implementations import ours


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("way", ["directly", "alone"])
def test_the_routine_called_directly_makes_our_updates(way, optimizer):
    mine, direct = front_end_cost._parameters(4), front_end_cost._parameters(4)
    update, call = ours(mine, optimizer), front_end_cost._directly(direct, optimizer)[way]
    for _ in range(3):
        update()
        call()
    assert all(torch.equal(one, other) and (one != 1).all() for one, other in zip(mine, direct, strict=True))


def test_a_sample_has_seconds_of_all_three_and_the_table_their_difference(monkeypatch):
    monkeypatch.setattr(front_end_cost, "CALLS", 1)
    monkeypatch.setattr(front_end_cost, "TURNS", 2)
    sample = front_end_cost.measure(2, "sgd")
    assert sample.keys() == {"ours", "directly", "alone"} and min(sample.values()) > 0
    rows = [{"ours": 8e-6 + n * 1e-6, "directly": 5e-6, "alone": 4e-6} for n in range(3)]
    last = as_table({("sgd", 2): rows}).splitlines()[-1]
    assert last.split() == ["sgd", "2", "9.0", "5.0", "4.0", "4.0", "[3.0,", "5.0]", "3"]
