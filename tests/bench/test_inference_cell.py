import copy

import pytest
import torch

from fastbs import models
from fastbs.bench.inference import measure_inference
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
