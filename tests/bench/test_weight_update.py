"""Every implementation makes the same update, and a sample says what an update moves."""

import json
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from fastbs import models
from fastbs.bench import weight_update
from fastbs.bench.parameter_lists import parameter_list
from fastbs.bench.update_implementations import BETAS, IMPLEMENTATIONS, LR, MOMENTUM, WEIGHT_DECAY, flat
from fastbs.bench.weight_update import (
    PARAMETER_LISTS,
    UPDATE_IMPLEMENTATIONS,
    measure_update,
    minimal_bytes,
    stream,
)
from fastbs.measurement import steady
from fastbs.training.compiler import why_no_compiler
from fastbs.worker import Unsupported

CPU = torch.device("cpu")
SETTINGS = {
    "model": "small",
    "optimizer": "sgd",
    "implementation": "fused",
    "device": "cpu",
    "threads": 1,
    "blocks": 2,
    "block_seconds": 0.01,
}
DIRECT = [name for name in UPDATE_IMPLEMENTATIONS if name != "compiled"]


def few(seed=0, shapes=((8, 3, 3, 3), (5,), (4, 6, 1, 1), (7, 2), (1,), (6, 5, 3, 3)), device=CPU):
    """Parameters as nets have them, channels_last where there are channels, each with a gradient."""
    generator = torch.Generator().manual_seed(seed)
    parameters = []
    for shape in shapes:
        layout = torch.channels_last if len(shape) == 4 else torch.contiguous_format
        weight, gradient = (torch.randn(shape, generator=generator).to(device, memory_format=layout) for _ in range(2))
        parameter = nn.Parameter(weight)
        parameter.grad = gradient
        parameters.append(parameter)
    return parameters


def by_hand(weight, gradient, optimizer, updates):
    """The update rules in fp64, as the papers write them: Nesterov momentum; Adam with decoupled decay."""
    w, g = weight.double(), gradient.double()
    decay = WEIGHT_DECAY[optimizer]
    momentum, square = torch.zeros_like(w), torch.zeros_like(w)
    for t in range(1, updates + 1):
        if optimizer == "sgd":
            slope = g + decay * w
            momentum = MOMENTUM * momentum + slope
            w = w - LR * (slope + MOMENTUM * momentum)
        else:
            momentum = BETAS[0] * momentum + (1 - BETAS[0]) * g
            square = BETAS[1] * square + (1 - BETAS[1]) * g**2
            unbiased = momentum / (1 - BETAS[0] ** t) / ((square / (1 - BETAS[1] ** t)).sqrt() + 1e-8)
            w = w - LR * decay * w - LR * unbiased
    return w


def updated(implementation, optimizer, parameters, updates=3):
    update = IMPLEMENTATIONS[implementation](parameters, optimizer)
    for _ in range(updates):
        update()
    return [parameter.detach() for parameter in parameters]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_for_loop_follows_the_update_rule(optimizer):
    for after, before in zip(updated("for-loop", optimizer, few()), few(), strict=True):
        expected = by_hand(before.detach(), before.grad, optimizer, 3)
        assert (expected - before).abs().max() > LR
        torch.testing.assert_close(after.double(), expected, rtol=0, atol=1e-6)  # rounding of fp32 weights of order 1


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("implementation", UPDATE_IMPLEMENTATIONS)
def test_every_implementation_makes_the_update_of_the_for_loop(implementation, optimizer):
    if implementation == "compiled" and (reason := why_no_compiler(torch.device("cpu"))):
        pytest.skip(reason)
    after = updated(implementation, optimizer, few())
    for new, expected in zip(after, updated("for-loop", optimizer, few()), strict=True):
        torch.testing.assert_close(new, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("implementation", UPDATE_IMPLEMENTATIONS)
def test_every_implementation_makes_the_update_of_the_for_loop_on_a_gpu(implementation, optimizer):
    after = updated(implementation, optimizer, few(device=torch.device("cuda")))
    for new, expected in zip(after, updated("for-loop", optimizer, few()), strict=True):
        torch.testing.assert_close(new.cpu(), expected, rtol=1e-5, atol=1e-5)


@given(st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple), min_size=1, max_size=6), st.data())
def test_flat_makes_the_fused_update_whatever_the_shapes(shapes, data):
    seed, optimizer = data.draw(st.integers(0, 99)), data.draw(st.sampled_from(["sgd", "adamw"]))
    after = updated("flat", optimizer, few(seed, shapes))
    for new, expected in zip(after, updated("fused", optimizer, few(seed, shapes)), strict=True):
        torch.testing.assert_close(new, expected, rtol=1e-6, atol=1e-6)


def test_flat_keeps_values_and_layouts_in_one_buffer_each():
    before, parameters = few(), few()
    flat(parameters, "sgd")
    for pick in (lambda p: p.data, lambda p: p.grad):
        assert len({pick(p).untyped_storage().data_ptr() for p in parameters}) == 1
        assert len({pick(p).data_ptr() for p in parameters}) == len(parameters)
        assert all(torch.equal(pick(new), pick(old)) for new, old in zip(parameters, before, strict=True))
        assert all(pick(new).stride() == pick(old).stride() for new, old in zip(parameters, before, strict=True))
        buffer = pick(parameters[0]).untyped_storage()
        assert buffer.nbytes() == 4 * sum(p.numel() for p in parameters)


def test_flat_follows_gradients_that_are_filled_in_place():
    def second_gradient(implementation):
        parameters = few()
        update = IMPLEMENTATIONS[implementation](parameters, "sgd")
        update()
        for parameter, other in zip(parameters, few(seed=1), strict=True):
            parameter.grad.copy_(other.grad)
        update()
        return [parameter.detach() for parameter in parameters]

    for new, expected in zip(second_gradient("flat"), second_gradient("for-loop"), strict=True):
        torch.testing.assert_close(new, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_weights_settle_although_the_gradients_stay(optimizer, monkeypatch):
    """A measurement makes any number of updates; here a thousand times faster, they end where the decay holds them."""
    monkeypatch.setattr("fastbs.bench.update_implementations.LR", 1000 * LR)
    parameters = few()
    for weight, gradient in zip(
        updated("fused", optimizer, parameters, 1000), [p.grad for p in parameters], strict=True
    ):
        force = gradient if optimizer == "sgd" else gradient.sign()
        torch.testing.assert_close(weight, -force / WEIGHT_DECAY[optimizer], rtol=0.02, atol=1.0)


def test_compiled_needs_a_compiler_on_a_cpu(monkeypatch, tmp_path):
    monkeypatch.setattr(torch, "__file__", "/opt/ann lee/torch/__init__.py")
    with pytest.raises(Unsupported, match="path with a space"):
        measure_update(**SETTINGS | {"implementation": "compiled"})
    monkeypatch.setattr(torch, "__file__", "/opt/torch/__init__.py")
    from torch._inductor import config

    with config.patch({"cpp.cxx": (str(tmp_path / "none"),)}), pytest.raises(Unsupported, match=r"C\+\+ compiler"):
        measure_update(**SETTINGS | {"implementation": "compiled"})


@pytest.mark.parametrize(("name", "tensors", "millions"), [("inception_v3", 284, 23.83), ("resnet50", 161, 25.56)])
def test_lists_are_those_of_the_nets(name, tensors, millions, monkeypatch):
    monkeypatch.setattr("fastbs.bench.parameter_lists.filled", lambda like, device: like)
    shapes = parameter_list(name, CPU)
    assert name in PARAMETER_LISTS and len(shapes) == tensors
    assert sum(p.numel() for p in shapes) / 1e6 == pytest.approx(millions, abs=0.005)


def test_small_list_is_laid_out_as_training_has_it():
    net = models.build("small", classes=10, image_size=64).to(memory_format=torch.channels_last)
    for listed, trained in zip(parameter_list("small", CPU), net.parameters(), strict=True):
        assert listed.shape == trained.shape and listed.dtype == trained.dtype
        assert listed.stride() == trained.stride() == listed.grad.stride()
        assert listed.std() > 0 and listed.grad.std() > 0


def test_one_tensor_holds_as_much_as_inception(monkeypatch):
    monkeypatch.setattr("fastbs.bench.parameter_lists.filled", lambda like, device: like)
    (one,) = parameter_list("flat", CPU)
    assert one.numel() == sum(p.numel() for p in parameter_list("inception_v3", CPU))


class Traffic(TorchDispatchMode):
    """Counts the tensors that operators read and write."""

    def __init__(self):
        super().__init__()
        self.read, self.written = Counter(), Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        values = dict(zip((a.name for a in function._schema.arguments), args, strict=False)) | (kwargs or {})
        for argument in function._schema.arguments:
            value = values.get(argument.name)
            if isinstance(value, torch.Tensor):
                written = argument.alias_info is not None and argument.alias_info.is_write
                (self.written if written else self.read)[value.data_ptr()] += 4 * value.numel()
        return function(*args, **kwargs or {})


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_stream_moves_the_minimal_bytes_and_no_array_twice(optimizer):
    move = stream(1000, optimizer, CPU)
    with Traffic() as traffic:
        move()
    moved = traffic.read + traffic.written
    assert moved.total() == minimal_bytes(1000, optimizer)
    assert set(moved.values()) == {4000}
    assert (len(traffic.read), len(traffic.written)) == {"sgd": (3, 2), "adamw": (4, 3)}[optimizer]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_minimal_bytes_are_weight_gradient_and_state(optimizer):
    """All are read once; all but the gradient are written once. The state is counted in what torch keeps."""
    (parameter,) = few(shapes=((10, 10),))
    made = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[optimizer]
    torch_optimizer = made([parameter], **({"momentum": 0.9} if optimizer == "sgd" else {}))
    torch_optimizer.step()
    states = [
        value for value in torch_optimizer.state[parameter].values() if value is not None and value.numel() == 100
    ]
    assert minimal_bytes(100, optimizer) == 400 * (2 * (2 + len(states)) - 1)


@pytest.mark.parametrize("implementation", DIRECT)
@pytest.mark.parametrize(("optimizer", "bytes_each"), [("sgd", 20), ("adamw", 28)])
def test_a_sample_says_what_was_updated_and_what_it_moved(implementation, optimizer, bytes_each, monkeypatch):
    monkeypatch.setattr("fastbs.measurement.steady.WARM_UP", 0.0)
    sample = measure_update(**SETTINGS | {"implementation": implementation, "optimizer": optimizer})
    net = models.build("small", classes=10, image_size=64)
    assert sample["parameters"] == sum(p.numel() for p in net.parameters())
    assert sample["tensors"] == len(list(net.parameters()))
    assert sample["bytes"] == bytes_each * sample["parameters"]
    assert sample["host_seconds"] is None and json.dumps(sample, allow_nan=False)
    for blocks in (sample["blocks"], sample["stream_blocks"]):
        assert len(blocks) == 2
        assert all(calls > 0 and seconds > 0 for calls, seconds, _, _ in blocks)


def test_one_buffer_takes_fewer_launches_than_a_loop(monkeypatch):
    monkeypatch.setattr("fastbs.measurement.steady.WARM_UP", 0.0)
    one, loop = (measure_update(**SETTINGS | {"implementation": name})["launches"] for name in ("flat", "for-loop"))
    assert one * 10 < loop


def test_the_first_blocks_are_of_the_update_alone(monkeypatch):
    """What is called is what the implementation returned, and it is made of parameters that hold their gradients."""
    monkeypatch.setattr("fastbs.measurement.steady.WARM_UP", 0.0)
    called, given = [], []

    def measure_steady(call, *place, **lengths):
        called.append(call)
        return steady.measure_steady(call, *place, **lengths)

    def update():
        return None

    def implementation(parameters, optimizer):
        given.extend(parameters)
        return update

    monkeypatch.setattr(weight_update, "measure_steady", measure_steady)
    monkeypatch.setitem(IMPLEMENTATIONS, "fused", implementation)
    measure_update(**SETTINGS)
    assert called[0] is update and len(called) == 2
    assert given and all(parameter.grad is not None for parameter in given)
