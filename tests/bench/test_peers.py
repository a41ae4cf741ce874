"""Whole trainings by other tools: the same work, paired by round, with the sign that the table says."""

import math

import pytest

from fastbs.bench.peers import PEERS, as_table, measure, summary
from fastbs.bench.plan import BenchPlan
from fastbs.bench.setting import open_setting


@pytest.mark.slow
def test_every_tool_trains_and_reaches_about_the_same(photos):
    pytest.importorskip("lightning")
    plan = BenchPlan(
        data=str(photos), batch_sizes=(8,), precisions=("fp32",), loaders=("torch",), epochs=6, lr=0.05, threads=1
    )
    with open_setting(plan) as setting:
        measured = measure(setting, 1, "torch", "same")
    document = summary(measured)
    assert {row["peer"] for row in document["rows"]} == set(PEERS)
    for row in document["rows"]:
        assert row["top1"] > 0.8 and row["fastbs_top1"] > 0.8, "bars and dots can be told apart"
        assert row["ratio"] == pytest.approx(row["seconds"] / row["fastbs_seconds"])
        assert row["interval"] is None, "one round has no spread"


def trainings(seconds, top1=0.9):
    return {number: {"seconds": own, "top1": top1} for number, own in enumerate(seconds)}


def test_a_slower_peer_has_a_ratio_above_one_and_rounds_are_paired():
    slow, fast = (8, "plain"), (8, "fastbs")
    document = summary({slow: trainings([2.0, 20.0, 4.0]), fast: trainings([1.0, 10.0, 2.0])})
    (row,) = document["rows"]
    assert row["ratio"] == pytest.approx(2) and row["interval"] == pytest.approx([2, 2])
    assert document["geomean"] == pytest.approx(2)


def test_a_peer_that_cannot_train_is_a_row_with_its_reason():
    measured = {(8, "fastbs"): trainings([1.0, 1.0]), (8, "plain"): trainings([4.0, 4.0])}
    measured[8, "lightning"] = {number: {"reason": "failed: lightning: not installed"} for number in range(2)}
    document = summary(measured)
    lightning, plain = document["rows"]
    assert lightning["ratio"] is None and "not installed" in lightning["reason"]
    assert plain["reason"] is None and document["geomean"] == pytest.approx(4)
    assert "lightning at 8: lightning failed: lightning: not installed" in as_table(document | {"timed": "so"})


def test_the_geometric_mean_is_over_all_rows():
    measured = {(size, "fastbs"): trainings([1.0, 1.0]) for size in (8, 32)}
    measured |= {(8, "plain"): trainings([4.0, 4.0]), (32, "plain"): trainings([1.0, 1.0])}
    document = summary(measured)
    assert document["geomean"] == pytest.approx(math.sqrt(4))
    assert "geometric mean 2.00" in as_table(document | {"timed": "so"})
