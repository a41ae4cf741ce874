"""The kernels on a card: against their references, in one launch, and within a captured graph."""

import pytest
import torch

from fastbs.kernels import FusedAdamW, FusedSGD, augment_reference
from fastbs.kernels.adamw_reference import adamw_reference
from fastbs.kernels.augment import augment
from fastbs.kernels.inputs import filled, images_and_crops
from fastbs.kernels.sgd_reference import sgd_reference

pytestmark = pytest.mark.gpu
DEVICE = "cuda"
# More than a chunk, ends that are no whole block, one number, none, channels_last.
SHAPES = [(64, 32, 3, 3), (20_011,), (8192,), (1,), (0,), (1000, 33)]
SGD = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}
ADAMW = {"lr": 0.01, "weight_decay": 0.1}
GIVEN = {FusedSGD: SGD, FusedAdamW: ADAMW}
both = pytest.mark.parametrize("rule", [FusedSGD, FusedAdamW])


def make(offset=0):
    torch.manual_seed(0)
    layouts = {4: torch.channels_last}
    likes = [torch.empty(s, memory_format=layouts.get(len(s), torch.contiguous_format)) for s in SHAPES]
    return [filled(like, DEVICE, offset=offset) for like in likes]


class Reference:
    """`updates` of the references; a card's kernel fuses multiplications and additions, they do not."""

    def __init__(self, rule, parameters):
        self.rule = rule
        self.weights = [parameter.detach().clone() for parameter in parameters]
        self.averages, self.squares = ([torch.zeros_like(w) for w in self.weights] for _ in range(2))
        self.steps = 0

    def step(self, parameters, rate=None):
        self.steps += 1
        rate = GIVEN[self.rule]["lr"] if rate is None else rate
        for parameter, weight, average, square in zip(
            parameters, self.weights, self.averages, self.squares, strict=True
        ):
            if self.rule is FusedSGD:
                sgd_reference(
                    weight, parameter.grad, average, rate=rate, momentum=0.9, dampening=0, decay=0.01,
                    nesterov=True, decoupled=False, begun=self.steps > 1,
                )  # fmt: skip
            else:
                adamw_reference(
                    weight, parameter.grad, average, square, self.steps,
                    rate=rate, betas=(0.9, 0.999), epsilon=1e-8, decay=0.1,
                )  # fmt: skip

    def check(self, parameters):
        for parameter, weight in zip(parameters, self.weights, strict=True):
            torch.testing.assert_close(parameter.detach(), weight, rtol=1e-5, atol=1e-5)


@both
@pytest.mark.parametrize("offset", [0, 1])
def test_updates_are_the_reference_s(rule, offset):
    """Also where no address is a multiple of 16 bytes."""
    parameters = make(offset)
    reference, optimizer = Reference(rule, parameters), rule(parameters, statistics=True, **GIVEN[rule])
    for _ in range(5):
        before = [parameter.detach().clone() for parameter in parameters]
        optimizer.step()
        reference.step(parameters)
    assert optimizer.routine == "kernel"
    reference.check(parameters)
    decay = 0.01 if rule is FusedSGD else 0.0
    slopes = [p.grad + decay * was for p, was in zip(parameters, before, strict=True)]
    squares = [sum(t.double().square().sum() for t in tensors) for tensors in (slopes, reference.averages)]
    torch.testing.assert_close(optimizer.statistics, torch.stack(squares), rtol=1e-4, atol=0)


@both
def test_copies_hold_what_the_weights_round_to(rule):
    parameters = make()
    copies = {p: torch.nn.Parameter(p.detach().bfloat16()) for p in parameters}
    for parameter, copy in copies.items():
        copy.grad, parameter.grad = parameter.grad.bfloat16(), None
    optimizer = rule(parameters, copies=copies, **GIVEN[rule])
    before = [parameter.detach().clone() for parameter in parameters]
    for _ in range(2):
        optimizer.step()
    for parameter, was in zip(parameters, before, strict=True):
        assert torch.equal(copies[parameter], parameter.detach().bfloat16())
        assert not parameter.numel() or not torch.equal(parameter, was)


@both
def test_a_void_update_changes_nothing(rule):
    parameters = make()
    optimizer = rule(parameters, statistics=True, **GIVEN[rule])
    reference = Reference(rule, parameters)
    for void in (True, False, True, False):
        optimizer.found_inf = torch.tensor(float(void), device=DEVICE)
        optimizer.step()
        if not void:
            reference.step(parameters)
        assert optimizer.statistics.isnan().all() == void
    reference.check(parameters)


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=["kernel", "torch"])
def test_overflows_of_two_devices_void_an_update_as_one_does(rule, dtype):
    """GradScaler adds them up: 2."""
    weight = torch.nn.Parameter(torch.ones(100, device=DEVICE, dtype=dtype))
    weight.grad = torch.ones_like(weight)
    optimizer = rule([weight], **GIVEN[rule])
    optimizer.step()
    before = weight.detach().clone()
    optimizer.found_inf = torch.tensor(2.0, device=DEVICE)
    optimizer.step()
    assert torch.equal(weight, before)


@both
def test_an_update_is_one_launch(rule):
    from fastbs.profiling.operators import count_operators

    optimizer = rule(make(), statistics=True, **GIVEN[rule])
    optimizer.step()
    assert count_operators(optimizer.step, DEVICE) == 1


@both
@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_captured_update_follows_the_schedule(rule, as_tensor):
    """The rate as a number is copied before a replay by `refresh`; as a tensor it is read where it lies."""
    parameters = make()
    rate = torch.tensor(GIVEN[rule]["lr"], device=DEVICE) if as_tensor else GIVEN[rule]["lr"]
    optimizer, reference = rule(parameters, **GIVEN[rule] | {"lr": rate}), Reference(rule, parameters)
    optimizer.step()
    reference.step(parameters)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        optimizer.step()
    for now in (0.05, 0.02, 0.02):
        if as_tensor:
            rate.fill_(now)
        else:
            optimizer.param_groups[0]["lr"] = now
            optimizer.refresh()
        for parameter in parameters:
            parameter.grad.mul_(-0.5)
        graph.replay()
        reference.step(parameters, now)
    reference.check(parameters)


def test_a_graph_outlives_the_tables_of_other_gradients():
    parameters = make()
    optimizer, reference = FusedSGD(parameters, **SGD), Reference(FusedSGD, parameters)
    optimizer.step()
    reference.step(parameters)
    graph, static = torch.cuda.CUDAGraph(), [parameter.grad for parameter in parameters]
    with torch.cuda.graph(graph):
        optimizer.step()
    kept = []
    for _ in range(40):
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        kept.append([parameter.grad for parameter in parameters])
        optimizer.step()
        reference.step(parameters)
    for parameter, gradient in zip(parameters, static, strict=True):
        parameter.grad = gradient
    graph.replay()
    reference.step(parameters)
    reference.check(parameters)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [(32, 32), (7, 5), (224, 224)])
def test_augmentation_is_the_reference_s_bit_for_bit(size, dtype):
    given = {"pad": 4, "mean": (124.0, 116.3, 103.5), "std": (58.4, 57.1, 57.4), "dtype": dtype}
    inputs = images_and_crops(40, 16, size, 4, DEVICE)
    found, expected = augment(*inputs, **given), augment_reference.augment(*inputs, **given)
    assert torch.equal(found, expected) and found.stride() == expected.stride()
