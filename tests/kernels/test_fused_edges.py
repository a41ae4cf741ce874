"""What users do to an optimizer between two updates, and what fused routines would get wrong."""

import copy
import math
import pickle

import pytest
import torch
from torch import nn
from torch.testing._internal.two_tensor import TwoTensor

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
    """As the parameter, transposed, in the middle of something longer, and as the parameter again."""
    if gradient.ndim < 2 or turn in (0, 5):
        return gradient
    if turn in (1, 2):
        return gradient.transpose(0, 1).contiguous().transpose(0, 1)
    return torch.cat([gradient, gradient], -1)[..., : gradient.shape[-1]]


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
@pytest.mark.parametrize("shape", [(6, 3, 3, 3), (4, 3)], ids=["longer", "flatter"])
def test_a_parameter_that_has_another_shape_than_its_state_is_refused(rule, shape):
    """The routines would write behind the end of the state."""
    weight, other = parameters([(4, 3, 3, 3), (2, 2)])
    optimizer = rule([weight, other], **OWN[rule])
    for one in (weight, other):
        one.grad = torch.ones_like(one)
    optimizer.step()
    weight.grad = None
    weight.data = torch.zeros(shape)
    weight.grad = torch.ones(shape).transpose(0, 1).contiguous().transpose(0, 1)
    with pytest.raises(BadInput, match=r"changed device, format, shape or layout"):
        optimizer.step()


@both
def test_parameters_may_be_taken_out_exchanged_and_put_in(rule):
    def groups(weights):
        return [{"params": weights[:1], "lr": 0.05}, {"params": weights[1:2], "lr": 0.02}, {"params": weights[2:]}]

    def edit(optimizer, turn):
        first, second, third = optimizer.param_groups
        if turn == 1:
            first["params"], second["params"] = second["params"], first["params"]
        if turn == 2:
            optimizer.param_groups.reverse()
        if turn == 3:
            first["params"].append(third["params"].pop())
        if turn == 4:
            first["params"].reverse()

    def after(make):
        return trained(lambda weights, **given: make(groups(weights), **given), edit, **OWN[rule])

    for one, other in zip(after(rule), after(TORCH[rule]), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@both
@pytest.mark.parametrize("way", ["cleared", "replaced"])
def test_a_state_that_was_emptied_or_replaced_counts(rule, way):
    def edit(optimizer, turn):
        if turn == 3 and way == "cleared":
            optimizer.state.clear()
        elif turn == 3:
            for state in optimizer.state.values():
                state.update({name: value * 0.5 for name, value in state.items() if name != "step"})

    assert_like_torch(rule, edit)


@both
def test_a_parameter_may_be_exchanged_with_its_state(rule):
    """What pruning and densification do."""

    def grow(optimizer, turn):
        (group,) = optimizer.param_groups
        if turn == 3:
            old = group["params"][0]
            state = optimizer.state.pop(old)
            new = nn.Parameter(torch.cat([old.detach(), old.detach()]))
            group["params"][0] = new
            optimizer.state[new] = {
                name: torch.cat([value, value]) if value.ndim else value for name, value in state.items()
            }

    def after(make):
        weights, generator = parameters([(4, 3), (5,)]), torch.Generator().manual_seed(1)
        optimizer = make(weights, **OWN[rule])
        for turn in range(5):
            grow(optimizer, turn)
            for weight in optimizer.param_groups[0]["params"]:
                weight.grad = torch.randn(weight.shape, generator=generator)
            optimizer.step()
        return optimizer.param_groups[0]["params"]

    for one, other in zip(after(rule), after(TORCH[rule]), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@both
def test_a_step_within_a_compiled_function_is_made(rule):
    """torch's compiler traced it once, and left nothing of it."""

    def after(make, *, compiled):
        (weight,) = parameters([(4, 3)])
        optimizer = make([weight], **OWN[rule])

        def train(inputs):
            optimizer.zero_grad()
            (inputs @ weight).square().sum().backward()
            optimizer.step()

        run = torch.compile(train, backend="eager") if compiled else train
        for turn in range(3):
            run(torch.full((2, 4), float(turn)))
        return weight.detach()

    torch.testing.assert_close(after(rule, compiled=True), after(TORCH[rule], compiled=False), rtol=1e-6, atol=1e-6)


@both
def test_step_hooks_are_given_what_torch_gives_them(rule):
    def given(make):
        (weight,) = parameters([(3,)])
        weight.grad = torch.ones(3)
        optimizer, seen = make([weight], **OWN[rule]), []
        optimizer.register_step_pre_hook(lambda one, args, kwargs: seen.append((len(args), kwargs)))
        optimizer.register_step_post_hook(lambda one, args, kwargs: seen.append((len(args), kwargs)))
        optimizer.step()
        return seen

    assert given(rule) == given(TORCH[rule])


@both
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("scale", [None, 8.0])
def test_weights_in_16_bits_follow_those_in_64(rule, dtype, scale):
    """torch's fused SGD on a CPU is off by as much as an update from 16 numbers on."""
    drawn, generator = parameters([(35,), (8, 40)]), torch.Generator().manual_seed(2)
    narrow = [nn.Parameter(weight.detach().to(dtype)) for weight in drawn]
    wide = [nn.Parameter(weight.detach().double()) for weight in narrow]
    ours, theirs = rule(narrow, **OWN[rule]), TORCH[rule](wide, **OWN[rule], foreach=False)
    ours.grad_scale = None if scale is None else torch.tensor(scale)
    for _ in range(4):
        for one, other in zip(narrow, wide, strict=True):
            one.grad = torch.randn(one.shape, generator=generator).to(dtype)
            other.grad = one.grad.double() / (scale or 1.0)
        ours.step()
        theirs.step()
    for one, other in zip(narrow, wide, strict=True):
        most = 8 * torch.finfo(dtype).eps * (1 + other.detach().abs())
        assert ((one.detach().double() - other.detach()).abs() < most).all()


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
    nowhere = nn.Parameter(torch.zeros(3, device="meta"))
    nowhere.grad = torch.ones(3, device="meta")
    wrapped = nn.Parameter(TwoTensor(torch.zeros(3), torch.zeros(3)))
    wrapped.grad = TwoTensor(torch.ones(3), torch.ones(3))
    for parameter, why in (
        (table.weight, "sparse"),
        (gapped, "gaps"),
        (several, "overlaps"),
        (imaginary, "complex64"),
        (nowhere, "Parameter on meta holds no numbers"),
        (wrapped, "holds no numbers of its own"),
    ):
        before = parameter.detach().clone()
        with pytest.raises(BadInput, match=why):
            rule([parameter], **OWN[rule]).step()
        assert parameter.is_meta or torch.equal(parameter, before)


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
