"""FusedSGD and FusedAdamW in place of torch's optimizers, on a CPU."""

import copy
import io
import math
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from fastbs.kernels import FusedAdamW, FusedSGD
from fastbs.kernels.inputs import filled

ROOT = Path(__file__).resolve().parents[2]
FUSED = {FusedSGD: torch.optim.SGD, FusedAdamW: torch.optim.AdamW}
OWN = {FusedSGD: {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, FusedAdamW: {"weight_decay": 0.1}}
both = pytest.mark.parametrize("rule", list(FUSED))


def some(shapes=((4, 3, 3, 3), (5,), (1,), (), (7, 2)), seed=0):
    generator = torch.Generator().manual_seed(seed)
    layouts = {4: torch.channels_last}
    likes = [torch.empty(s, memory_format=layouts.get(len(s), torch.contiguous_format)) for s in shapes]
    return [filled(like, "cpu", generator=generator) for like in likes]


def train(optimizer, updates=3, seed=1):
    generator = torch.Generator().manual_seed(seed)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for _ in range(updates):
        for parameter in parameters:
            parameter.grad = torch.empty_like(parameter).copy_(torch.randn(parameter.shape, generator=generator))
        optimizer.step()
    return [parameter.detach().clone() for parameter in parameters]


def equal(left, right):
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


class Calls(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names[function.overloadpacket.__name__] += 1
        return function(*args, **kwargs or {})


@both
def test_it_is_torch_s_fused_update_bit_for_bit(rule):
    assert equal(train(rule(some(), **OWN[rule])), train(FUSED[rule](some(), fused=True, **OWN[rule])))


@both
def test_torch_s_routine_is_called_once_per_group_and_little_else(rule):
    parameters = some()
    optimizer = rule([{"params": parameters[:2]}, {"params": parameters[2:], "weight_decay": 0.0}], **OWN[rule])
    optimizer.step()
    with Calls() as calls:
        optimizer.step()
    routine = "_fused_sgd_" if rule is FusedSGD else "_fused_adamw_"
    assert calls.names.pop(routine) == 2
    assert calls.names == ({} if rule is FusedSGD else {"add_": 2})  # the steps of all parameters of a group at once


@both
@pytest.mark.parametrize("how", [{}, {"fused": True}, {"foreach": True}, {"foreach": False}])
def test_a_state_travels_from_torch_and_back(rule, how):
    """Six updates: two of torch's, two of ours, two of torch's, each continuing from the state dict of the last."""
    parameters, state = some(), None
    for make, seed in zip((FUSED[rule], rule, FUSED[rule]), (1, 2, 3), strict=True):
        optimizer = make(parameters, **({} if make is rule else how), **OWN[rule])
        if state is not None:
            file = io.BytesIO()
            torch.save(state, file)
            file.seek(0)
            optimizer.load_state_dict(torch.load(file, weights_only=True))
        train(optimizer, updates=2, seed=seed)
        state = optimizer.state_dict()
    torch_alone = FUSED[rule](expected := some(), **how, **OWN[rule])
    for seed in (1, 2, 3):
        train(torch_alone, updates=2, seed=seed)
    for one, other in zip(parameters, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
    assert {*state["state"][0]} == {*torch_alone.state_dict()["state"][0]}
    assert {*state["param_groups"][0]} == {*torch_alone.state_dict()["param_groups"][0]}


@both
def test_a_state_dict_has_torch_s_keys_shapes_and_formats(rule):
    ours, theirs = rule(some(), **OWN[rule]), FUSED[rule](some(), fused=True, **OWN[rule])
    train(ours)
    train(theirs)
    mine, other = ours.state_dict(), theirs.state_dict()
    assert mine["param_groups"] == other["param_groups"]
    assert mine["state"].keys() == other["state"].keys()
    for number, state in mine["state"].items():
        assert state.keys() == other["state"][number].keys()
        for key, value in state.items():
            expected = other["state"][number][key]
            assert torch.equal(value, expected) and value.dtype == expected.dtype
            assert value.stride() == expected.stride()


@both
def test_a_loaded_state_of_another_layout_is_laid_out_as_the_weights(rule):
    flat = [nn.Parameter(parameter.detach().contiguous()) for parameter in some()]
    source = rule(flat, **OWN[rule])
    train(source)
    target = rule([nn.Parameter(torch.empty_like(p).copy_(f)) for p, f in zip(some(), flat, strict=True)], **OWN[rule])
    target.load_state_dict(copy.deepcopy(source.state_dict()))
    assert equal(train(target, seed=5), train(source, seed=5))


@both
def test_gradients_may_be_missing_and_come_later(rule):
    ours, theirs = some(), some()
    optimizers = rule(ours, **OWN[rule]), FUSED[rule](theirs, fused=rule is FusedAdamW, **OWN[rule])
    for turn in range(4):
        for parameters, optimizer in zip((ours, theirs), optimizers, strict=True):
            for number, parameter in enumerate(parameters):
                kept = torch.full_like(parameter, 1.0 + number)
                parameter.grad = None if (turn < 2 and number == 1) or (turn == 3 and number == 0) else kept
            optimizer.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
    assert (ours[1] in optimizers[0].state) and optimizers[0].state.keys() == set(ours)


@pytest.mark.parametrize("dampening", [0.0, 0.3])
def test_the_first_average_is_not_dampened_and_a_void_first_update_is_none(dampening):
    """torch's fused SGD leaves an average from uninitialised memory after a void first update."""
    ours, theirs = some(), some()
    given = {"lr": 0.1, "momentum": 0.9, "dampening": dampening}
    optimizer, other = FusedSGD(ours, **given), torch.optim.SGD(theirs, **given)
    optimizer.found_inf = torch.tensor(1.0)
    optimizer.step()
    assert equal([p.detach() for p in ours], [p.detach() for p in theirs])
    optimizer.found_inf = torch.tensor(0.0)
    for one, expected in zip(train(optimizer), train(other), strict=True):
        torch.testing.assert_close(one, expected, rtol=1e-6, atol=1e-6)


@both
def test_a_rate_may_be_a_tensor_and_follows_a_schedule(rule):
    ours, theirs = some(), some()
    optimizers = rule(ours, lr=torch.tensor(0.1)), FUSED[rule](theirs, lr=0.1)
    for optimizer in optimizers:
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        for _ in range(3):
            optimizer.step()
            schedule.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
    assert float(optimizers[0].param_groups[0]["lr"]) == pytest.approx(0.0125)


@both
def test_the_grad_scaler_s_update_is_unscaled_or_void(rule):
    ours, theirs = some(), some()
    optimizer, other = rule(ours, **OWN[rule]), FUSED[rule](theirs, **OWN[rule])
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=1000)
    before = [parameter.detach().clone() for parameter in ours]
    for parameter in ours:
        scaler.scale((parameter * 2.0).sum() * (math.inf if parameter is ours[0] else 1)).backward()
    scaler.step(optimizer)
    scaler.update()
    assert equal([p.detach() for p in ours], before) and scaler.get_scale() == 512
    optimizer.zero_grad()
    for parameter, unscaled in zip(ours, theirs, strict=True):
        scaler.scale((parameter * 2.0).sum()).backward()
        unscaled.grad = torch.full_like(unscaled, 2.0)
    scaler.step(optimizer)
    other.step()
    for one, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, expected, rtol=1e-6, atol=1e-6)


@both
def test_gradients_are_clipped_by_a_factor(rule):
    ours, theirs = some(), some()
    optimizer, other = rule(ours, **OWN[rule]), FUSED[rule](theirs, **OWN[rule])
    total = torch.nn.utils.get_total_norm([parameter.grad for parameter in ours])
    optimizer.clip_factor = (0.5 / (total + 1e-6)).clamp(max=1)
    torch.nn.utils.clip_grad_norm_(theirs, 0.5)
    optimizer.step()
    other.step()
    for one, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, expected, rtol=1e-6, atol=1e-6)


def test_decoupled_decay_takes_its_share_off_the_weights():
    parameters = some()
    before = [parameter.detach().clone() for parameter in parameters]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer = FusedSGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.5, decoupled_weight_decay=True)
    for _ in range(2):
        optimizer.step()
    for parameter, was in zip(parameters, before, strict=True):
        torch.testing.assert_close(parameter.detach(), was * 0.95**2)
    assert all((optimizer.state[parameter]["momentum_buffer"] == 0).all() for parameter in parameters)
    assert "decoupled_weight_decay" not in optimizer.state_dict()["param_groups"][0]


@both
def test_copies_are_written_and_statistics_are_taken(rule):
    parameters = some()
    parameters[3].grad = None
    copies = {
        parameter: torch.zeros_like(parameter, dtype=torch.bfloat16, requires_grad=False) for parameter in parameters
    }
    optimizer = rule(parameters, **OWN[rule], copies=copies, statistics=True)
    optimizer.grad_scale = torch.tensor(4.0)
    updated = [parameter for parameter in parameters if parameter.grad is not None]
    decay = 0.1 if rule is FusedSGD else 0.0
    entering = [parameter.grad / 4 + decay * parameter.detach() for parameter in updated]
    optimizer.step()
    name = "momentum_buffer" if rule is FusedSGD else "exp_avg"
    expected = [
        sum(t.double().square().sum() for t in tensors)
        for tensors in (entering, [optimizer.state[p][name] for p in updated])
    ]
    torch.testing.assert_close(optimizer.statistics, torch.stack(expected), rtol=1e-5, atol=0)
    for parameter in updated:
        assert torch.equal(copies[parameter], parameter.detach().bfloat16())


@both
def test_hooks_closures_groups_added_later_and_pickles_work(rule):
    parameters = some()
    optimizer = rule(parameters[:2], **OWN[rule])
    seen = []
    handle = optimizer.register_step_pre_hook(lambda *_: seen.append("pre"))
    optimizer.register_step_post_hook(lambda *_: seen.append("post"))
    assert optimizer.step(lambda: 7) == 7 and seen == ["pre", "post"]
    handle.remove()
    optimizer.add_param_group({"params": parameters[2:], "lr": 0.5})
    before = [parameter.detach().clone() for parameter in parameters]
    optimizer.step()
    assert seen == ["pre", "post", "post"]
    assert all(not torch.equal(p.detach(), was) for p, was in zip(parameters, before, strict=True))
    twin = pickle.loads(pickle.dumps(rule(some(), **OWN[rule])))
    assert equal(train(twin), train(rule(some(), **OWN[rule])))


@both
def test_the_profiler_names_the_step(rule):
    optimizer = rule(some(), **OWN[rule])
    with torch.profiler.profile() as profile:
        optimizer.step()
    assert f"Optimizer.step#{rule.__name__}.step" in {event.key for event in profile.key_averages()}


def test_capturable_and_amsgrad_are_torch_s():
    ours, theirs = (
        FusedAdamW(some(), amsgrad=True, capturable=True),
        torch.optim.AdamW(some(), amsgrad=True, fused=True),
    )
    assert ours.param_groups[0]["capturable"] is True
    assert equal(train(ours), train(theirs))


@both
def test_the_same_arguments_are_refused(rule):
    with pytest.raises(ValueError, match="learning rate"):
        rule(some(), lr=-1.0)


def test_all_but_the_kernels_works_without_triton():
    program = """
import sys
sys.modules["triton"] = None
import torch
from fastbs.kernels import FusedAdamW, FusedSGD
for rule in (FusedSGD, FusedAdamW):
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.grad = torch.ones(3)
    rule([parameter], lr=0.5).step()
    assert parameter.max() < 0.6
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
