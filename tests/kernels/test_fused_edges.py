"""What users do to an optimizer between two updates, and what fused routines would get wrong."""

import copy
import math
import pickle

import pytest
import torch
from torch import nn

from fastbs.errors import BadInput
from fastbs.kernels import FusedAdamW, FusedSGD, fused_update

TORCH = {FusedSGD: torch.optim.SGD, FusedAdamW: torch.optim.AdamW}
OWN = {FusedSGD: {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}, FusedAdamW: {"lr": 0.1, "weight_decay": 0.1}}
both = pytest.mark.parametrize("rule", list(TORCH))


@pytest.fixture(autouse=True, params=["torch", pytest.param("kernel", marks=pytest.mark.interpreter)])
def routine(request, monkeypatch):
    """What updates: torch's routine, and our kernel, interpreted."""
    monkeypatch.setattr(fused_update, "kernel_runs_on", lambda device: request.param == "kernel")


def parameters(shapes=((4, 3, 3, 3), (6, 5), (7,))):
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def trained(make, between=lambda optimizer, turn: None, arranged=lambda gradient, turn: gradient, updates=6, **given):
    """Weights after `updates`; `between` is called before each, `arranged` says how its gradients lie."""
    weights, generator = parameters(), torch.Generator().manual_seed(1)
    optimizer = make(weights, **given)
    for turn in range(updates):
        between(optimizer, turn)
        for weight in weights:
            weight.grad = arranged(torch.randn(weight.shape, generator=generator), turn)
        optimizer.step()
    return [weight.detach() for weight in weights]


def assert_like_torch(rule, *arguments, **given):
    given = OWN[rule] | given
    ours, theirs = trained(rule, *arguments, **given), trained(TORCH[rule], *arguments, foreach=False, **given)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [{"momentum": 0.0}, {"momentum": 0.5}, {"nesterov": True}, {"maximize": True}, {"dampening": 0.5}],
    ids=lambda changes: next(iter(changes)),
)
def test_settings_may_change_between_updates(changes):
    assert_like_torch(FusedSGD, lambda optimizer, turn: turn == 2 and optimizer.param_groups[0].update(changes))


def test_momentum_may_be_switched_on_off_and_on():
    def switch(optimizer, turn):
        optimizer.param_groups[0]["momentum"] = (0.0, 0.0, 0.9, 0.9, 0.0, 0.9)[turn]

    assert_like_torch(FusedSGD, switch, momentum=0.0)


def test_the_largest_square_may_be_asked_for_later():
    """torch's own step has no state for it then; from zeros it goes on as if it had begun there."""

    def switch(optimizer, turn):
        if turn == 2:
            optimizer.param_groups[0]["amsgrad"] = True
            for state in optimizer.state.values() if type(optimizer) is torch.optim.AdamW else ():
                state["max_exp_avg_sq"] = torch.zeros_like(state["exp_avg"])

    assert_like_torch(FusedAdamW, switch)


@both
def test_a_cycle_of_rate_and_momentum_is_followed(rule):
    def schedules():
        made = {}

        def between(optimizer, turn):
            if turn == 0:
                made[0] = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=7)
            else:
                made[0].step()

        return between

    ours = trained(rule, schedules(), **OWN[rule])
    theirs = trained(TORCH[rule], schedules(), foreach=False, **OWN[rule])
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def otherwise(gradient, turn):
    """At first as the parameter; then transposed where there are dimensions for it, at the end as at first."""
    if gradient.ndim < 2 or turn in (0, 5):
        return gradient
    return gradient.transpose(0, 1).contiguous().transpose(0, 1)


@both
def test_a_gradient_may_lie_otherwise_than_before(rule):
    """torch's fused routine would take its numbers in the wrong order."""
    assert_like_torch(rule, lambda optimizer, turn: None, otherwise)


@both
def test_a_gradient_that_is_one_number_in_many_places_is_read_as_such(rule):
    assert_like_torch(rule, lambda optimizer, turn: None, lambda gradient, turn: gradient[:1].expand_as(gradient))


@both
def test_a_gradient_of_another_format_is_converted(rule):
    if not hasattr(torch.Tensor, "grad_dtype"):
        pytest.skip("gradients have their parameters' format before torch 2.10")
    (weight, other), half = parameters([(5,), (5,)]), torch.bfloat16
    other.data = weight.data.clone()
    weight.grad_dtype = half
    weight.grad, other.grad = torch.ones(5, dtype=half), torch.ones(5)
    for one in (weight, other):
        rule([one], **OWN[rule]).step()
    assert torch.equal(weight, other)


@both
def test_a_stride_of_a_dimension_with_one_number_says_nothing(rule):
    """1x1 convolutions: no copy is made, and copies in 16 bits are taken."""
    weight = nn.Parameter(torch.ones(4, 3, 1, 1).to(memory_format=torch.channels_last))
    weight.grad = torch.ones(4, 3).view(4, 3, 1, 1)
    assert weight.grad.stride() != weight.stride()
    half = torch.zeros(4, 3, dtype=torch.bfloat16).view(4, 3, 1, 1)
    optimizer = rule([weight], **OWN[rule], copies={weight: half})
    plain = rule([weight], **OWN[rule])
    plain.step()
    (part,), gradient = plain._parts, weight.grad
    layouts = part.launch._layouts if part.launch else part.layouts
    assert layouts.arranged([gradient])[0] is gradient
    optimizer.step()
    assert torch.equal(half, weight.detach().bfloat16())


@both
def test_a_net_that_is_laid_out_anew_after_the_first_update_is_refused(rule):
    net = nn.Conv2d(3, 4, 3)
    optimizer = rule(net.parameters(), **OWN[rule])
    for _ in range(2):
        optimizer.zero_grad()
        net(torch.randn(2, 3, 8, 8)).sum().backward()
        if net.weight.is_contiguous(memory_format=torch.channels_last):
            with pytest.raises(BadInput, match=r"shape \(4, 3, 3, 3\): changed .* layout after the first update"):
                optimizer.step()
        else:
            optimizer.step()
            net.to(memory_format=torch.channels_last)
    state = copy.deepcopy(optimizer.state_dict())
    again = rule(net.parameters(), **OWN[rule])
    again.load_state_dict(state)
    again.step()


@both
def test_what_fused_routines_get_wrong_is_refused(rule):
    table = nn.Embedding(10, 4, sparse=True)
    table(torch.tensor([1, 2])).sum().backward()
    gapped = nn.Parameter(torch.zeros(4, 6)[:, ::2])
    gapped.grad = torch.ones(4, 3)
    several = nn.Parameter(torch.zeros(1).expand(3))
    several.grad = torch.ones(3)
    imaginary = nn.Parameter(torch.zeros(3, dtype=torch.complex64))
    imaginary.grad = torch.ones(3, dtype=torch.complex64)
    for parameter, why in ((table.weight, "sparse"), (gapped, "gaps"), (several, "overlaps"), (imaginary, "complex64")):
        before = parameter.detach().clone()
        with pytest.raises(BadInput, match=why):
            rule([parameter], **OWN[rule]).step()
        assert torch.equal(parameter, before)


@both
def test_a_void_update_leaves_weights_and_state_bit_for_bit(rule):
    weights = parameters()
    optimizer = rule(weights, **OWN[rule])
    for weight in weights:
        weight.grad = torch.randn_like(weight)
    optimizer.step()
    before, kept = copy.deepcopy(optimizer.state_dict()), [weight.detach().clone() for weight in weights]
    weights[0].grad[0] = math.inf
    optimizer.found_inf = torch.tensor(1.0)
    optimizer.step()
    assert all(torch.equal(one, other) for one, other in zip(weights, kept, strict=True))
    for number, state in optimizer.state_dict()["state"].items():
        assert all(torch.equal(value, before["state"][number][name]) for name, value in state.items())


@both
@pytest.mark.parametrize("twin", [lambda o: pickle.loads(pickle.dumps(o)), copy.deepcopy], ids=["pickle", "deepcopy"])
def test_a_twin_with_a_state_goes_on_as_the_first(rule, twin):
    weights = parameters()
    one = rule(weights, statistics=True, **OWN[rule])
    for weight in weights:
        weight.grad = torch.full_like(weight, 0.5)
    one.step()
    other = twin(one)
    others = other.param_groups[0]["params"]
    for weight, mine in zip(weights, others, strict=True):
        weight.grad, mine.grad = torch.ones_like(weight), torch.ones_like(weight)
    one.step()
    other.step()
    assert all(torch.equal(a, b) and a is not b for a, b in zip(weights, others, strict=True))
    assert torch.equal(one.statistics, other.statistics)


@both
def test_the_grad_scaler_leaves_unscaling_to_a_twin_too(rule):
    """It asks for an attribute that torch's own optimizers lose in a pickle."""
    (weight,) = parameters([(3,)])
    optimizer = copy.deepcopy(rule([weight], **OWN[rule]))
    (mine,) = optimizer.param_groups[0]["params"]
    scaler, seen = torch.amp.GradScaler("cpu", init_scale=8.0), []
    optimizer.register_step_pre_hook(lambda one, *_: seen.append(float(one.grad_scale)))
    scaler.scale(mine.sum()).backward()
    scaler.step(optimizer)
    assert seen == [8.0]


@both
def test_gradients_of_copies_are_refused_from_a_grad_scaler(rule):
    """It looks for overflows at the fp32 parameters, finds none to look at, and would let one pass."""
    (weight,) = parameters([(3,)])
    half = nn.Parameter(weight.detach().half())
    optimizer = rule([weight], **OWN[rule], copies={weight: half})
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(half.float().sum()).backward()
    with pytest.raises(BadInput, match="found_inf: GradScaler saw no gradient"):
        scaler.step(optimizer)


@both
@pytest.mark.parametrize("overflow", [False, True])
def test_copies_in_fp16_are_unscaled_clipped_and_checked_without_waiting(rule, overflow):
    """The recipe of docs/kernels.md."""
    scale, most = torch.tensor(512.0), 0.5
    weights, others = parameters(), parameters()
    copies = {weight: nn.Parameter(weight.detach().half()) for weight in weights}
    for half, other in zip(copies.values(), others, strict=True):
        half.grad = (512 * torch.randn(half.shape)).half()
        other.grad = half.grad.float() / 512
    if overflow:
        next(iter(copies.values())).grad.view(-1)[0] = math.inf
    optimizer, torch_s = rule(weights, **OWN[rule], copies=copies), TORCH[rule](others, **OWN[rule])
    before = [weight.detach().clone() for weight in weights]

    norms = torch._foreach_norm([half.grad for half in copies.values()], dtype=torch.float32)
    norm = torch.linalg.vector_norm(torch.stack(norms)) / scale
    optimizer.grad_scale, optimizer.found_inf = scale, (~norm.isfinite()).float()
    optimizer.clip_factor = (most / (norm + 1e-6)).clamp(max=1)
    optimizer.step()

    if not overflow:
        torch.nn.utils.clip_grad_norm_(others, most)
        torch_s.step()
    for weight, expected in zip(weights, before if overflow else others, strict=True):
        torch.testing.assert_close(weight.detach(), expected.detach(), rtol=1e-6, atol=1e-6)


@both
def test_statistics_of_an_update_without_gradients_are_zero(rule):
    (weight,) = parameters([(3,)])
    weight.grad = torch.ones(3)
    optimizer = rule([weight], statistics=True, **OWN[rule])
    optimizer.step()
    optimizer.zero_grad()
    optimizer.step()
    assert optimizer.statistics.tolist() == [0, 0]


@both
def test_statistics_of_16_bits_do_not_overflow(rule):
    weight = nn.Parameter(torch.ones(4000, dtype=torch.float16))
    weight.grad = torch.full_like(weight, 2000.0)
    optimizer = rule([weight], lr=0.0, statistics=True)
    optimizer.step()
    assert optimizer.statistics[0].item() == pytest.approx(4000 * 2000.0**2, rel=1e-6)
