"""Calls whose operators can be counted by hand."""

import itertools
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from fastbs.config import RunConfig
from fastbs.data.batch import Batch
from fastbs.profiling import operators as room
from fastbs.profiling.operators import count_operators, operator_seconds
from fastbs.training.step import Step

CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parents[2]


def add_three_times():
    total = torch.ones(3)
    total.add_(1)
    total.mul_(2).add_(1)


def matmul_and_mean():
    """matmul and mean call mm and sum in their turn: those are not dispatched by us."""
    torch.matmul(torch.ones(2, 3), torch.ones(3, 2)).mean()


@pytest.mark.parametrize(("call", "operators"), [(lambda: None, 0), (add_three_times, 4), (matmul_and_mean, 4)])
def test_a_call_has_as_many_operators_as_it_asks_for(call, operators):
    assert count_operators(call, "cpu") == operators


def test_an_operator_within_another_is_nested_whatever_stands_between():
    names = ["aten::linear", "mkldnn::linear", "aten::mm"]
    outer = between = inner = None
    for name in names:
        outer, between, inner = between, inner, SimpleNamespace(name=name, cpu_parent=inner)
    assert [room._is_nested(event) for event in (outer, between, inner)] == [False, True, True]


def test_the_backward_pass_counts():
    def backward(links):
        value = torch.ones(1, requires_grad=True)
        factor, result = torch.ones(1), value
        for _ in range(links):
            result = result * factor
        return result.backward

    # a multiplication by a constant is one multiplication backward; what else there is does not depend on the length
    assert count_operators(backward(30), CPU) - count_operators(backward(10), CPU) == 20


def test_the_optimizer_counts():
    parameters = [torch.nn.Parameter(torch.ones(3)) for _ in range(5)]
    for parameter in parameters:
        parameter.grad = torch.ones(3)
    fused = torch.optim.SGD(parameters, lr=0.1, fused=True)
    one_by_one = torch.optim.SGD(parameters, lr=0.1, foreach=False)
    assert count_operators(fused.step, "cpu") == 1
    assert count_operators(one_by_one.step, "cpu") == 5


def training_step(batch_size):
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(288, 3)
    )
    step = Step(model, RunConfig(data="photos", batch_size=batch_size, precision="fp32", lr=0.05), CPU)
    images = torch.randn(batch_size, 3, 8, 8).to(memory_format=torch.channels_last)
    batch = Batch(images, torch.zeros(batch_size, dtype=torch.int64))
    step(batch)  # the first makes the optimizer's state
    return lambda: step(batch)


def test_a_training_step_has_the_same_operators_every_time_and_at_every_batch_size():
    calls = [training_step(batch_size) for batch_size in (2, 7, 64)]
    counts = [count_operators(call, CPU) for call in calls for _ in range(3)]
    assert len(set(counts)) == 1
    assert counts[0] > 20  # five layers forward and backward, the loss, the update


def test_counting_leaves_nothing_on_stderr():
    program = "import torch\nfrom fastbs.profiling.operators import count_operators\n"
    program += "print(count_operators(lambda: torch.ones(2) + 1, 'cpu'))"
    environment = {name: value for name, value in os.environ.items() if name != "KINETO_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_an_error_in_the_call_is_the_callers():
    with pytest.raises(ZeroDivisionError):
        count_operators(lambda: 1 / 0, CPU)


def test_an_operator_costs_the_time_of_a_step_over_its_number_of_operators(monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(room.time, "perf_counter", lambda: float(next(ticks)))  # a step takes one second
    step = room._tiny_step()
    step()
    operators = count_operators(step, CPU)
    assert operators >= 3 * room.LAYERS  # one multiplication forward, two backward
    assert operator_seconds() == 1 / operators


def test_an_operator_costs_the_same_where_gradients_are_off():
    step = room._tiny_step()
    step()
    with torch.no_grad():
        without = count_operators(step, CPU)
    assert without == count_operators(step, CPU)


@pytest.mark.gpu
def test_a_card_runs_one_kernel_for_each_addition():
    numbers = torch.ones(3, device="cuda")

    def call():
        for _ in range(7):
            numbers.add_(1)

    call()
    assert [count_operators(call, "cuda") for _ in range(2)] == [7, 7]


@pytest.mark.gpu
def test_the_optimizers_annotation_on_the_card_is_no_kernel():
    parameter = torch.nn.Parameter(torch.ones(3, device="cuda"))
    parameter.grad = torch.ones_like(parameter)
    update = torch.optim.SGD([parameter], lr=0.1, foreach=False).step
    update()
    assert count_operators(update, "cuda") == 1
