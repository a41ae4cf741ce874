"""Copies in 16 bits, gradients in 16 bits, tensors that lie elsewhere from one update to the next."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbs.errors import BadInput
from fastbs.kernels import FusedAdamW, FusedSGD, fused_update, launch, tensor_table
from fastbs.kernels.inputs import filled

pytestmark = pytest.mark.interpreter
LOW = [torch.bfloat16, torch.float16]
TORCH = {FusedSGD: torch.optim.SGD, FusedAdamW: torch.optim.AdamW}


@pytest.fixture(autouse=True, scope="module")
def kernels_on_the_cpu():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused_update, "kernel_runs_on", lambda device: True)
        for module in (launch, tensor_table):
            patch.setattr(module, "CHUNK", 32)  # so that small tensors have several
        patch.setattr(launch, "BLOCK", 16)
        yield


def one(values):
    """A parameter with these values and gradient zero."""
    parameter = torch.nn.Parameter(torch.as_tensor(values, dtype=torch.float32).clone())
    parameter.grad = torch.zeros_like(parameter)
    return parameter


def some(shapes=((3, 2, 3, 3), (7,)), dtype=None):
    """fp32 parameters; with `dtype`, copies of it that a net would train on, which hold the gradients."""
    generator = torch.Generator().manual_seed(0)
    layouts = {4: torch.channels_last}
    likes = [torch.empty(s, memory_format=layouts.get(len(s), torch.contiguous_format)) for s in shapes]
    parameters = [filled(like, "cpu", generator=generator) for like in likes]
    if dtype is None:
        return parameters
    copies = {}
    for parameter in parameters:
        copies[parameter] = torch.nn.Parameter(parameter.detach().to(dtype))
        copies[parameter].grad, parameter.grad = parameter.grad.to(dtype), None
    return parameters, copies


floats = st.one_of(
    st.floats(width=32),
    st.integers(0, 2**32 - 1).map(lambda bits: torch.tensor(bits, dtype=torch.uint32).view(torch.float32).item()),
    # Exactly between two numbers of bf16, one of them even.
    st.integers(0, 2**16 - 1).map(
        lambda b: torch.tensor((b << 16) | 0x8000, dtype=torch.uint32).view(torch.float32).item()
    ),
)


@settings(max_examples=10)
@given(values=st.lists(floats, min_size=1, max_size=200), dtype=st.sampled_from(LOW))
def test_a_copy_is_rounded_as_torch_rounds(values, dtype):
    parameter = one(values)
    copied = torch.zeros_like(parameter, dtype=dtype, requires_grad=False)
    FusedSGD([parameter], lr=0.0, copies={parameter: copied}).step()
    expected = parameter.detach().to(dtype)
    assert torch.equal(copied.isnan(), parameter.isnan())
    assert torch.equal(copied.nan_to_num(1.0).view(torch.int16), expected.nan_to_num(1.0).view(torch.int16))


@pytest.mark.parametrize("dtype", LOW)
@pytest.mark.parametrize("rule", [FusedSGD, FusedAdamW])
def test_a_net_in_16_bits_is_trained_through_fp32_weights(rule, dtype):
    """The gradient is the copy's, widened; the copy is what the new weight rounds to; fp32 keeps what bf16 loses."""
    parameters, copies = some(dtype=dtype)
    plain = some()
    for parameter, other in zip(parameters, plain, strict=True):
        other.grad = copies[parameter].grad.float()
    given = {"lr": 1e-5, "weight_decay": 0.1} | ({"momentum": 0.9} if rule is FusedSGD else {})
    optimizer, other = rule(parameters, copies=copies, **given), rule(plain, **given)
    for _ in range(3):
        optimizer.step()
        other.step()
    for parameter, expected in zip(parameters, plain, strict=True):
        assert torch.equal(parameter, expected)
        assert torch.equal(copies[parameter], expected.to(dtype))
    optimizer.zero_grad()
    assert all(copy.grad is None for copy in copies.values())


@pytest.mark.parametrize("rule", [FusedSGD, FusedAdamW])
def test_a_copy_that_is_no_leaf_is_only_written(rule):
    parameters, plain = some(), some()
    copies = {
        parameter: torch.empty_like(parameter, dtype=torch.float16, requires_grad=False) for parameter in parameters
    }
    rule(parameters, lr=0.1, copies=copies).step()
    rule(plain, lr=0.1).step()
    for parameter, expected in zip(parameters, plain, strict=True):
        assert torch.equal(parameter, expected) and torch.equal(copies[parameter], expected.half())


@pytest.mark.parametrize("rule", [FusedSGD, FusedAdamW])
def test_a_gradient_that_lies_elsewhere_at_every_update_is_found(rule):
    """As with set_to_none; more places than tables are kept, and some come back."""
    parameters, others = some(), some()
    ours, theirs = rule(parameters, lr=0.1), TORCH[rule](others, lr=0.1)
    generator, kept = torch.Generator().manual_seed(3), []
    for turn in range(21):
        for parameter, other in zip(parameters, others, strict=True):
            other.grad = torch.empty_like(other).normal_(generator=generator)
            parameter.grad = kept[turn - 18][0] if turn > 18 and parameter is parameters[0] else torch.empty_like(other)
            parameter.grad.copy_(other.grad)
        kept.append([parameter.grad for parameter in parameters])
        ours.step()
        theirs.step()
    for parameter, other in zip(parameters, others, strict=True):
        torch.testing.assert_close(parameter, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rule", [FusedSGD, FusedAdamW])
def test_a_gradient_laid_out_otherwise_is_the_same_gradient(rule):
    """torch's fused routine on a CPU takes its numbers in the wrong order."""
    parameters, others = some(), some()
    ours, theirs = rule(parameters, lr=0.1), TORCH[rule](others, lr=0.1, fused=False)
    for turn in range(3):
        for parameter, other in zip(parameters, others, strict=True):
            parameter.grad = other.grad.contiguous() if turn else other.grad.clone()
            assert turn == 0 or parameter.ndim < 4 or parameter.grad.stride() != parameter.stride()
        ours.step()
        theirs.step()
    for parameter, other in zip(parameters, others, strict=True):
        torch.testing.assert_close(parameter, other, rtol=1e-5, atol=1e-5)


def test_a_weight_that_is_moved_is_updated_where_it_lies():
    parameters, others = some(), some()
    ours, theirs = FusedSGD(parameters, lr=0.1, momentum=0.9), torch.optim.SGD(others, lr=0.1, momentum=0.9)
    for _ in range(2):
        ours.step()
        theirs.step()
        for parameter in parameters:
            parameter.data = parameter.data.clone()
    for parameter, other in zip(parameters, others, strict=True):
        torch.testing.assert_close(parameter, other, rtol=1e-5, atol=1e-5)


def test_what_kernels_cannot_take_goes_to_torch():
    """fp64, overlapping views and amsgrad, beside fp32 parameters in the same optimizer."""
    wide, narrow = torch.nn.Parameter(torch.ones(5, dtype=torch.float64)), torch.nn.Parameter(torch.ones(5))
    wide.grad, narrow.grad = torch.ones(5, dtype=torch.float64), torch.ones(5)
    optimizer = FusedAdamW([wide, narrow], lr=0.1, weight_decay=0.0, statistics=True)
    optimizer.step()
    assert sorted(part.launch is None for part in optimizer._parts) == [False, True]
    torch.testing.assert_close(wide, torch.full_like(wide, 0.9))
    torch.testing.assert_close(narrow, torch.full_like(narrow, 0.9))
    assert optimizer.statistics.tolist() == pytest.approx([10, 10 * 0.1**2], rel=1e-6)
    with_largest = FusedAdamW([narrow], lr=0.1, amsgrad=True)
    with_largest.step()
    assert with_largest._parts[0].launch is None and "max_exp_avg_sq" in with_largest.state[narrow]


def test_rates_of_another_format_and_unfit_copies_are_refused():
    parameter = one([1.0, 2.0])
    with pytest.raises(BadInput, match="lr: a tensor of torch.float64"):
        FusedSGD([parameter], lr=torch.tensor(0.1, dtype=torch.float64)).step()
    with pytest.raises(BadInput, match="copies: .*write bf16 or fp16"):
        FusedSGD([parameter], copies={parameter: torch.zeros(2)})
    with pytest.raises(BadInput, match="copies: .*must agree"):
        FusedSGD([parameter], copies={parameter: torch.zeros(3, dtype=torch.float16)})


def test_inf_and_nan_in_16_bits_stay_what_they_are():
    parameters, copies = some(((3,),), dtype=torch.bfloat16)
    copies[parameters[0]].grad.copy_(torch.tensor([math.inf, math.nan, 0.0]))
    FusedSGD(parameters, lr=1.0, copies=copies).step()
    left = copies[parameters[0]].tolist()
    assert left[0] == -math.inf and math.isnan(left[1]) and math.isfinite(left[2])
