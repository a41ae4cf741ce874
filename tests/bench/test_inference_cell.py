import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fastbs import models
from fastbs.bench.inference import measure_inference
from fastbs.bench.one_by_one import MOST, PARTS, OneByOne
from fastbs.worker import Unsupported

SETTINGS = {
    "model": "small",
    "norm": "batch",
    "classes": 5,
    "image_size": 16,
    "batch_size": 4,
    "precision": "fp32",
    "step": "eager",
    "device": "cpu",
    "threads": 1,
    "blocks": 2,
    "block_seconds": 0.02,
    "cuda_graph": False,
    "detail": True,
    "least_calls": 7,
}


@pytest.fixture
def built(monkeypatch):
    """[net, its state when it was built] of the measurement that follows, and what its first pass looked like."""
    seen = {}
    plain = models.build

    def build(*args, **kwargs):
        net = seen["net"] = plain(*args, **kwargs)
        seen["state"] = copy.deepcopy(net.state_dict())
        net.register_forward_hook(look)
        return net

    def look(net, inputs, logits):
        seen.setdefault("images", inputs[0])
        seen.setdefault("logits", logits)
        seen.setdefault("training", net.training)
        seen.setdefault("passes", 0)
        seen["passes"] += 1

    monkeypatch.setattr(models, "build", build)
    return seen


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_weights_and_buffers_stay_as_they_are(built, precision):
    sample = measure_inference(**SETTINGS | {"precision": precision})
    assert built["passes"] > 4 and not built["training"]
    state = built["net"].state_dict()
    assert any(name.endswith("running_mean") for name in state)
    assert all(torch.equal(state[name], before) for name, before in built["state"].items())
    assert sample["images"] == 4 and len(sample["blocks"]) == 2
    assert all(calls > 0 and seconds > 0 for calls, seconds, _, _ in sample["blocks"])


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_a_pass_keeps_no_graph_and_computes_in_the_asked_format(built, precision, dtype):
    measure_inference(**SETTINGS | {"precision": precision})
    images, logits = built["images"], built["logits"]
    assert images.shape == (4, 3, 16, 16) and logits.shape == (4, 5)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert images.dtype == logits.dtype == dtype
    assert logits.is_inference()


def test_one_image_passes_through_a_net_that_cannot_train_on_one():
    """At 8x8 the last BatchNorm of this net sees one value per channel."""
    assert measure_inference(**SETTINGS | {"batch_size": 1, "image_size": 8})["images"] == 1


def test_compile_compiles_once_and_eager_never(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "__file__", "/opt/torch/__init__.py")  # wherever it really lies
    monkeypatch.setattr(torch, "compile", lambda function: compiled.append(function) or function)
    measure_inference(**SETTINGS)
    assert not compiled
    measure_inference(**SETTINGS | {"step": "compile"})
    assert len(compiled) == 1


def test_what_cannot_compile_is_unsupported(monkeypatch):
    monkeypatch.setattr(torch, "__file__", "/opt/ann lee/torch/__init__.py")
    with pytest.raises(Unsupported, match="path with a space"):
        measure_inference(**SETTINGS | {"step": "compile"})
    assert measure_inference(**SETTINGS)["images"] == 4


def test_every_call_that_is_asked_for_is_kept_and_what_comes_first_stands_apart(built):
    sample = measure_inference(**SETTINGS | {"least_calls": 120})
    assert len(sample["latency_seconds"]) >= 120 and min(sample["latency_seconds"]) > 0
    assert sample["load_seconds"] > 0 and sample["first_seconds"] > 0
    assert [sample[part] for part in PARTS] == [None] * 4  # a CPU copies and enqueues nothing
    timed = sum(calls for calls, _, _, _ in sample["blocks"]) + len(sample["latency_seconds"])
    assert built["passes"] > timed + 1  # the first, and those that warm up


def test_without_detail_only_what_can_be_measured_in_turns_is(built):
    sample = measure_inference(**SETTINGS | {"detail": False})
    assert "latency_seconds" not in sample and sample["first_seconds"] > 0


@given(about=st.floats(1e-6, 10), budget=st.floats(0.01, 60), least=st.integers(1, 100))
def test_calls_fill_the_time_but_are_enough_for_a_percentile_and_not_more_than_a_file_should_hold(about, budget, least):
    made = []
    calls = len(OneByOne(lambda: made.append(1), torch.zeros(1)).latencies(about, budget, least))
    assert calls >= least and calls <= MOST
    assert calls in (least, MOST) or abs(calls * about - budget) <= about
    assert len(made) > calls


def test_there_is_no_cuda_graph_on_a_cpu():
    with pytest.raises(Unsupported, match="CUDA graphs need an NVIDIA GPU"):
        measure_inference(**SETTINGS | {"cuda_graph": True})
