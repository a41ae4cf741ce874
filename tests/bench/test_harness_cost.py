"""The yardstick does the same work as a step of ours, and the comparison has the right sign."""

import itertools

import pytest
import torch

from fastbs import models, worker
from fastbs.bench import harness_cost
from fastbs.bench.hand_written_loop import train
from fastbs.bench.harness_cost import compare
from fastbs.bench.plan import BenchPlan
from fastbs.bench.setting import open_setting
from fastbs.config import RunConfig
from fastbs.data.batch import Batch
from fastbs.training.set_up import make_step, prepare_process
from fastbs.worker.giving_turns import giving_turns


def test_the_loop_by_hand_ends_with_the_weights_and_sums_of_our_step():
    run = RunConfig(data="", image_size=16, batch_size=4, lr=0.05, precision="fp32", device="cpu", threads=1)
    batch = Batch(torch.randn(4, 3, 16, 16).to(memory_format=torch.channels_last), torch.tensor([0, 1, 2, 3]))
    step = make_step(run, 10, prepare_process(run))
    torch.manual_seed(run.seed)
    net = models.build("small", classes=10, image_size=16).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True, fused=True)
    loss_sum, hits = torch.zeros(()), torch.zeros((), dtype=torch.int64)
    train(net, optimizer, itertools.repeat((batch.images, batch.labels)), loss_sum, hits, steps=5)
    for _ in range(5):
        step(batch)
    for ours, by_hand in zip(step.model.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(ours, by_hand)
    assert step.take_metrics() == pytest.approx((float(loss_sum), int(hits)))


@pytest.fixture
def sides(monkeypatch):
    """Both sides stubbed: seconds per step by batch size."""
    times = {"time_ours": {1: 2.0, 128: 3.0}, "time_by_hand": {1: 1.0, 128: 3.0}}
    real, asked, begins = worker.call, [], []

    def call(target, arguments, **more):
        name = target.partition(":")[2]
        if name not in times:
            return real(target, arguments, **more)
        size = arguments["batch_size"] if name == "time_by_hand" else arguments["config"]["batch_size"]
        asked.append((name, size))
        return worker.Outcome("ok", None, [times[name][size]] * 3, 1.0)

    def giving(parties, first):
        begins.append(first)
        return giving_turns(parties, first)

    monkeypatch.setattr(worker, "call", call)
    monkeypatch.setattr(harness_cost, "giving_turns", giving)
    return asked, begins


def test_a_harness_that_doubles_a_step_has_ratio_two_and_is_not_free(sides):
    plan = BenchPlan(batch_sizes=(1, 128), image_size=32, precisions=("fp32",), threads=1)
    with open_setting(plan) as setting:
        rows = compare(setting, pairs=6, seed=0)
    assert [row["ratio"] for row in rows] == pytest.approx([2, 1])
    assert [row["free"] for row in rows] == [False, True]
    asked, begins = sides
    for first, second in zip(asked[::2], asked[1::2], strict=True):
        assert {first[0], second[0]} == {"time_ours", "time_by_hand"} and first[1] == second[1]
    assert len(asked) == 24 and set(begins) == {0, 1}


def test_three_percent_is_the_margin():
    within, outside = [1.02, 1.021, 1.022], [1.04, 1.041, 1.042]
    assert harness_cost._row(1, within)["free"] and not harness_cost._row(1, outside)["free"]
