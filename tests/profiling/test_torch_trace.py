"""A real net under the profiler, and the sums that are made of its events."""

import gzip
import itertools
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fastbs.config import RunConfig
from fastbs.data.batch import Batch
from fastbs.profiling.arithmetic import matmul_rate, step_flops
from fastbs.profiling.phases import PHASES
from fastbs.profiling.ranges import nvtx_range, step_in_ranges, torch_range
from fastbs.profiling.torch_trace import LONGEST, STEPS, arithmetic_and_other, covered, time_by_phase, trace_steps
from fastbs.training.step import Step

CPU = torch.device("cpu")


def training(device=CPU):
    """A step of convolution, BatchNorm and a linear layer, and its batches without end."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(288, 3)
    ).to(device)
    step = Step(model, RunConfig(data="photos", batch_size=4, precision="fp32", lr=0.05), device)
    images = torch.randn(4, 3, 8, 8, device=device).to(memory_format=torch.channels_last)
    return step, itertools.repeat(Batch(images, torch.zeros(4, dtype=torch.int64, device=device)))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=12))
def test_time_covered_counts_overlaps_once(spans):
    intervals = [(start, start + length) for start, length in spans]
    assert covered(intervals) == len({point for start, end in intervals for point in range(start, end)})


def test_time_belongs_to_the_phase_in_which_it_was_asked_for():
    phases = [(0, 9, "forward"), (10, 19, "backward"), (30, 39, "forward")]
    pieces = [("conv", 0, 4.0), ("conv", 31, 6.0), ("relu", 5, 1.0), ("conv", 10, 20.0), ("lost", 25, 99.0)]
    found = time_by_phase(pieces, phases, steps=2)
    assert found["forward"] == [
        {"name": "conv", "seconds": pytest.approx(5e-6), "calls": 1},
        {"name": "relu", "seconds": pytest.approx(0.5e-6), "calls": 0.5},
    ]
    assert found["backward"] == [{"name": "conv", "seconds": pytest.approx(1e-5), "calls": 0.5}]
    assert found["update"] == [] and list(found) == list(PHASES)


def test_short_ones_are_added_up_as_other():
    pieces = [(f"op{number}", 1, float(number + 1)) for number in range(LONGEST + 3)]
    named = time_by_phase(pieces, [(0, 2, "update")], steps=1)["update"]
    assert [row["name"] for row in named] == [*(f"op{LONGEST + 2 - n}" for n in range(LONGEST)), "other"]
    assert sum(row["seconds"] for row in named) == pytest.approx(sum(micros for _, _, micros in pieces) / 1e6)


def test_what_multiplies_is_told_from_what_only_reads_and_writes():
    multiply = ["aten::mkldnn_convolution", "aten::convolution_backward", "aten::addmm", "aten::bmm", "aten::mm"]
    multiply += ["mkldnn::_convolution_pointwise", "mkldnn::_linear_pointwise", "aten::_scaled_dot_product_attention"]
    other = ["aten::native_group_norm", "aten::mul", "aten::addcmul", "aten::clamp_min", "aten::_to_copy"]
    other += ["aten::upsample_bilinear2d"]
    pieces = [(name, 1, 2.0) for name in multiply] + [(name, 11, 3.0) for name in other]
    pieces += [("c10d::allreduce_", 12, 90.0), ("nccl:all_reduce", 12, 90.0)]
    pieces += [("aten::mm", 21, 50.0), ("aten::mul", 40, 50.0), ("aten::mul", 12, 1.0)]
    found = arithmetic_and_other(pieces, [(0, 9, "forward"), (10, 19, "backward"), (20, 29, "update")], steps=2)
    assert found["arithmetic_seconds"] == pytest.approx(len(multiply) * 1e-6)
    assert found["largest_other"] == {"name": "aten::mul", "seconds": pytest.approx(2e-6)}


def test_where_no_operator_is_seen_nothing_is_known():
    assert arithmetic_and_other([], [(0, 9, "forward")], 1) == {"arithmetic_seconds": None, "largest_other": None}


def test_the_trace_is_one_that_perfetto_reads_and_names_every_phase_of_every_step(tmp_path):
    step, batches = training()
    found = trace_steps(step, batches, CPU, tmp_path / "t.pt.trace.json.gz")
    with gzip.open(tmp_path / "t.pt.trace.json.gz", "rt") as file:
        events = json.load(file)["traceEvents"]  # the JSON format of Chrome's traces, which Perfetto opens
    ranges = [event for event in events if event.get("ph") == "X" and event["name"].startswith("fastbs.")]
    assert {event["name"] for event in ranges} == {f"fastbs.{name}" for name in (*PHASES, "step")}
    assert all(
        sum(e["name"] == f"fastbs.{phase}" and e["cat"] == "user_annotation" for e in ranges) == STEPS
        for phase in PHASES
    )
    names = {phase: {row["name"] for row in rows} for phase, rows in found["by_phase"].items()}
    assert any("conv" in name for name in names["forward"]) and any("conv" in name for name in names["backward"])
    assert any("sgd" in name for name in names["update"])
    own = {row["name"]: row["seconds"] for phase in ("forward", "backward") for row in found["by_phase"][phase]}
    assert 0 < found["arithmetic_seconds"] < sum(own.values())
    assert found["arithmetic_seconds"] >= sum(seconds for name, seconds in own.items() if "convolution" in name) > 0
    assert found["busy_seconds"] is found["h2d_seconds"] is None


def test_a_step_in_ranges_is_the_step_itself():
    (plain, batches), (ranged, _) = training(), training()
    around = nvtx_range()
    for name in (around, torch_range, around):
        plain(next(batches))
        step_in_ranges(ranged, batches, name)
    ours, theirs = ranged.model.state_dict(), plain.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert ranged.take_metrics() == plain.take_metrics()


def test_the_arithmetic_of_a_pass_is_counted_by_hand():
    step, batches = training()
    before = {name: value.clone() for name, value in step.model.state_dict().items()}
    convolution = 2 * 4 * 6 * 6 * 8 * 27  # a multiplication and an addition for each weight of each output
    linear = 2 * 4 * 288 * 3
    # Backward, gradients of inputs and of weights; the convolution's input is the image, which needs none.
    assert step_flops(step, next(batches)) == convolution * 2 + linear * 3
    assert all(torch.equal(before[name], value) for name, value in step.model.state_dict().items())
    assert all(p.grad is None for p in step.model.parameters())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_matrix_product_has_a_speed(precision, monkeypatch):
    monkeypatch.setattr("fastbs.profiling.arithmetic.SIDES", {"cpu": 64})
    monkeypatch.setattr("fastbs.profiling.arithmetic.SECONDS", 0.0)
    assert 0 < matmul_rate(precision, CPU) < 1e15


@pytest.mark.gpu
def test_a_card_is_busy_for_a_part_of_the_time_and_its_kernels_belong_to_phases(tmp_path):
    device = torch.device("cuda")
    step, batches = training(device)
    found = trace_steps(step, batches, device, tmp_path / "t.json.gz")
    kernels = {phase: sum(row["seconds"] for row in rows) for phase, rows in found["by_phase"].items()}
    assert all(kernels[phase] > 0 for phase in ("forward", "backward", "update"))
    assert 0 < found["busy_seconds"] <= 1.01 * sum(kernels.values())
    assert 0 < found["arithmetic_seconds"] < kernels["forward"] + kernels["backward"]
