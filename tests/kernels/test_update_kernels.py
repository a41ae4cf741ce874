"""The update kernels, interpreted, against references in plain torch and against torch's own optimizers."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbs.kernels import FusedAdamW, FusedSGD, fused_update, launch, tensor_table
from fastbs.kernels.adamw_reference import adamw_reference
from fastbs.kernels.inputs import filled
from fastbs.kernels.sgd_reference import sgd_reference

pytestmark = pytest.mark.interpreter
CHUNK, BLOCK = 64, 16  # so that small tensors have many chunks and blocks
SHAPES = [(4, 3, 3, 3), (5,), (1,), (0,), (65,), ()]
RATE = 0.1
FP32, FP64 = torch.float32, torch.float64
SGD = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "decay": {"weight_decay": 0.05},
    "nesterov": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.05},
    "dampened": {"momentum": 0.8, "dampening": 0.3, "weight_decay": 0.05},
    "decoupled": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.05, "decoupled_weight_decay": True},
    "maximize": {"momentum": 0.9, "weight_decay": 0.05, "maximize": True},
}
ADAMW = {
    "plain": {},
    "decay": {"weight_decay": 0.3, "betas": (0.8, 0.95), "eps": 1e-3},
    "no average": {"betas": (0.0, 0.9), "weight_decay": 0.0},
    "maximize": {"maximize": True},
}
RULES = [(FusedSGD, name) for name in SGD] + [(FusedAdamW, name) for name in ADAMW]


@pytest.fixture(autouse=True, scope="module")
def kernels_on_the_cpu():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused_update, "kernel_runs_on", lambda device: True)
        for module in (launch, tensor_table):
            patch.setattr(module, "CHUNK", CHUNK)
        patch.setattr(launch, "BLOCK", BLOCK)
        yield


def make(shapes=SHAPES, seed=0, offsets=(0,)):
    """Parameters, channels_last where there are channels; the offsets of their addresses take turns."""
    generator = torch.Generator().manual_seed(seed)
    parameters = []
    for number, shape in enumerate(shapes):
        like = torch.empty(shape, memory_format=torch.channels_last if len(shape) == 4 else torch.contiguous_format)
        parameters.append(filled(like, "cpu", generator=generator, offset=offsets[number % len(offsets)]))
    return parameters


def settings_of(rule, name):
    return {"lr": RATE} | (SGD if rule is FusedSGD else ADAMW)[name]


def new_gradients(parameters, generator):
    for parameter in parameters:
        parameter.grad.normal_(generator=generator)


class Reference:
    """What an optimizer does to each parameter, made of the references."""

    def __init__(self, rule, parameters, **given):
        defaults = (FusedSGD if rule is FusedSGD else FusedAdamW)([torch.zeros(1)], **given).defaults
        self.rule, self.given, self.settings = rule, given, defaults
        self.rate = torch.tensor(defaults["lr"]).item()  # the kernels' rate is an fp32 number
        self.weights = [parameter.detach().clone() for parameter in parameters]
        self.averages, self.squares = ([torch.zeros_like(weight) for weight in self.weights] for _ in range(2))
        self.steps = [0] * len(self.weights)

    def step(self, gradients):
        s = self.settings
        for number, gradient in enumerate(gradients):
            if gradient is None:
                continue
            gradient = -gradient if s["maximize"] else gradient
            self.steps[number] += 1
            weight, average, square = self.weights[number], self.averages[number], self.squares[number]
            if self.rule is FusedAdamW:
                adamw_reference(
                    weight, gradient, average, square, self.steps[number],
                    rate=self.rate, betas=s["betas"], epsilon=s["eps"], decay=s["weight_decay"],
                )  # fmt: skip
            else:
                sgd_reference(
                    weight, gradient, average if s["momentum"] else None,
                    rate=self.rate, momentum=s["momentum"], dampening=s["dampening"], decay=s["weight_decay"],
                    nesterov=s["nesterov"], decoupled=self.given.get("decoupled_weight_decay", False),
                    begun=self.steps[number] > 1,
                )  # fmt: skip


def same(left, right):
    """Bit for bit; NaN equals NaN."""
    return all(
        torch.equal(a.detach().nan_to_num(7e9), b.detach().nan_to_num(7e9)) for a, b in zip(left, right, strict=True)
    )


@pytest.mark.parametrize(("rule", "name"), RULES)
def test_20_updates_equal_the_reference_bit_for_bit_and_torch_within_rounding(rule, name):
    """And are no further from fp64 than torch's."""
    given = settings_of(rule, name)
    parameters, generator = make(), torch.Generator().manual_seed(1)
    reference, optimizer = Reference(rule, parameters, **given), rule(parameters, **given)
    torch_rule = torch.optim.SGD if rule is FusedSGD else torch.optim.AdamW
    others = [[torch.nn.Parameter(p.detach().to(dtype, copy=True)) for p in parameters] for dtype in (FP32, FP64)]
    if torch_knows := not given.pop("decoupled_weight_decay", False):
        torch_optimizers = [torch_rule(other, **given) for other in others]
    for _ in range(20):
        new_gradients(parameters, generator)
        optimizer.step()
        reference.step([parameter.grad for parameter in parameters])
        if torch_knows:
            for other, torch_optimizer in zip(others, torch_optimizers, strict=True):
                for theirs, ours in zip(other, parameters, strict=True):
                    theirs.grad = ours.grad.to(theirs.dtype)
                torch_optimizer.step()
    assert optimizer._parts[0].launch
    assert same(parameters, reference.weights)
    for key, kept in {"momentum_buffer": "averages", "exp_avg": "averages", "exp_avg_sq": "squares"}.items():
        if key in optimizer.state[parameters[0]]:
            assert same([optimizer.state[parameter][key] for parameter in parameters], getattr(reference, kept))
    if torch_knows:
        for ours, theirs in zip(parameters, others[0], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=2e-6, atol=4e-6)
        assert distance(parameters, others[1]) <= 1.2 * distance(others[0], others[1]) + 1e-8


def distance(some, exact):
    """Root of the mean square."""
    squares = [(s.detach().double() - e.detach()).square().sum().item() for s, e in zip(some, exact, strict=True)]
    return math.sqrt(sum(squares) / sum(e.numel() for e in exact))


sizes = st.one_of(st.sampled_from([0, 1, 15, 16, 17, 63, 64, 65, 127, 128, 129]), st.integers(0, 150))


@settings(max_examples=15)
@given(
    rule=st.sampled_from([FusedSGD, FusedAdamW]),
    lengths=st.lists(sizes, min_size=0, max_size=5),
    offsets=st.lists(st.integers(0, 5), min_size=1, max_size=3),
    missing=st.lists(st.booleans(), min_size=10, max_size=10),
    poison=st.sampled_from([None, math.inf, -math.inf, math.nan]),
    seed=st.integers(0, 99),
)
def test_whatever_the_sizes_alignments_and_gradients(rule, lengths, offsets, missing, poison, seed):
    """Without a scaler an Inf or NaN goes where torch lets it go; a missing gradient changes nothing."""
    parameters = make([(n,) for n in lengths] or [(1,)], seed, offsets)
    name = "dampened" if rule is FusedSGD else "decay"
    reference = Reference(rule, parameters, **settings_of(rule, name))
    optimizer = rule(parameters, **settings_of(rule, name))
    generator = torch.Generator().manual_seed(seed)
    gradients = [parameter.grad for parameter in parameters]
    for turn in range(2):
        for number, parameter in enumerate(parameters):
            parameter.grad = (
                None if missing[(number + 5 * turn) % 10] else gradients[number].normal_(generator=generator)
            )
            if poison is not None and parameter.grad is not None and turn == 0:
                parameter.grad[-1:] = poison
        optimizer.step()
        reference.step([parameter.grad for parameter in parameters])
    assert same(parameters, reference.weights)


@pytest.mark.parametrize("rule", [FusedSGD, FusedAdamW])
def test_no_tensor_and_tensors_without_numbers(rule):
    parameters = make([(0,), (0, 3)])
    optimizer = rule(parameters, lr=RATE, **({"momentum": 0.9} if rule is FusedSGD else {}))
    optimizer.step()
    if rule is FusedAdamW:
        assert all(optimizer.state[parameter]["step"] == 1 for parameter in parameters)
    nothing = make([(3,)])
    nothing[0].grad = None
    optimizer = rule(nothing, lr=RATE, statistics=True)
    optimizer.step()
    assert optimizer.statistics is None and not optimizer.state


def test_a_thousand_tensors_in_one_launch(monkeypatch):
    parameters = make([(n % 5,) for n in range(1000)])
    reference = Reference(FusedSGD, parameters, **settings_of(FusedSGD, "nesterov"))
    optimizer = FusedSGD(parameters, **settings_of(FusedSGD, "nesterov"), statistics=True)
    optimizer.step()
    reference.step([parameter.grad for parameter in parameters])
    assert same(parameters, reference.weights) and len(optimizer._parts) == 1
    before = make([(n % 5,) for n in range(1000)])
    slopes = [p.grad + 0.05 * b for p, b in zip(parameters, before, strict=True)]
    expected = sum(slope.double().square().sum() for slope in slopes)
    assert optimizer.statistics[0].item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("rule", [FusedSGD, FusedAdamW])
def test_updates_are_counted_for_each_tensor_that_has_a_gradient(rule):
    """More tensors than a block has numbers; every third has no gradient in the second of three updates."""
    parameters = make([(1,)] * (2 * BLOCK + 3))
    given = settings_of(rule, "dampened" if rule is FusedSGD else "decay")
    reference, optimizer = Reference(rule, parameters, **given), rule(parameters, **given)
    kept = [parameter.grad for parameter in parameters]
    for turn in range(3):
        for number, parameter in enumerate(parameters):
            parameter.grad = None if turn == 1 and number % 3 == 0 else kept[number]
        optimizer.step()
        reference.step([parameter.grad for parameter in parameters])
    assert same(parameters, reference.weights)
    if rule is FusedAdamW:
        assert [int(optimizer.state[parameter]["step"]) for parameter in parameters] == reference.steps


@pytest.mark.parametrize("rule", [FusedSGD, FusedAdamW])
def test_groups_keep_their_settings_in_one_launch(rule):
    parameters = make()
    own = (
        [{"momentum": 0.5}, {"momentum": 0.9, "dampening": 0.5}]
        if rule is FusedSGD
        else [{"betas": (0.5, 0.9)}, {"eps": 0.1}]
    )
    own = [{"lr": 0.3, "weight_decay": 0.2} | own[0], {"lr": 0.01, "weight_decay": 0.0} | own[1]]
    halves = parameters[::2], parameters[1::2]
    references = [Reference(rule, half, **one) for half, one in zip(halves, own, strict=True)]
    optimizer = rule([{"params": half, **one} for half, one in zip(halves, own, strict=True)])
    for _ in range(2):
        optimizer.step()
        for half, reference in zip(halves, references, strict=True):
            reference.step([parameter.grad for parameter in half])
    assert len(optimizer._parts) == 1
    assert all(same(half, reference.weights) for half, reference in zip(halves, references, strict=True))


@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize("rule", [FusedSGD, FusedAdamW])
def test_a_rate_that_changes_is_the_one_used(rule, as_tensor):
    parameters = make(SHAPES[1:3])
    reference = Reference(rule, parameters, lr=RATE)
    optimizer = rule(parameters, lr=torch.tensor(RATE) if as_tensor else RATE)
    for rate in (0.3, 0.3, 0.02):
        if as_tensor:
            optimizer.param_groups[0]["lr"].fill_(rate)
        else:
            optimizer.param_groups[0]["lr"] = rate
        reference.rate = torch.tensor(rate).item()
        optimizer.step()
        reference.step([parameter.grad for parameter in parameters])
    assert same(parameters, reference.weights)


@pytest.mark.parametrize("rule", [FusedSGD, FusedAdamW])
def test_gradients_are_unscaled_and_clipped_on_the_way(rule):
    parameters = make(SHAPES[1:3])
    name = "nesterov" if rule is FusedSGD else "decay"
    reference = Reference(rule, parameters, **settings_of(rule, name))
    optimizer = rule(parameters, **settings_of(rule, name))
    optimizer.grad_scale, optimizer.clip_factor = torch.tensor(1024.0), torch.tensor(0.25)
    before = [parameter.grad.clone() for parameter in parameters]
    optimizer.step()
    reference.step([parameter.grad / 4096 for parameter in parameters])
    assert same(parameters, reference.weights)
    assert same([parameter.grad for parameter in parameters], before)


@pytest.mark.parametrize("overflows", [1.0, 2.0])
@pytest.mark.parametrize("rule", [FusedSGD, FusedAdamW])
def test_an_update_with_an_overflow_is_void_and_the_next_is_the_first(rule, overflows):
    """A GradScaler adds up the overflows of devices."""
    parameters = make()
    name = "dampened" if rule is FusedSGD else "decay"
    reference = Reference(rule, parameters, **settings_of(rule, name))
    optimizer = rule(parameters, statistics=True, **settings_of(rule, name))
    good = [parameter.grad.clone() for parameter in parameters]
    parameters[0].grad.fill_(math.inf)
    optimizer.found_inf = torch.tensor(overflows)
    optimizer.step()
    assert same(parameters, reference.weights) and optimizer.statistics.isnan().all()
    optimizer.found_inf = torch.tensor(0.0)
    for parameter, gradient in zip(parameters, good, strict=True):
        parameter.grad.copy_(gradient)
    optimizer.step()
    reference.step(good)
    assert same(parameters, reference.weights) and optimizer.statistics.isfinite().all()


@pytest.mark.parametrize("rule", [FusedSGD, FusedAdamW])
def test_statistics_are_the_squares_of_all_that_entered(rule):
    """With an own decay in each group; a missing gradient and its average do not count."""
    parameters = make()
    parameters[0].grad = None
    decays = (0.5, 0.0)
    own = {"momentum": 0.9} if rule is FusedSGD else {}
    groups = [
        {"params": parameters[:4], "weight_decay": decays[0]},
        {"params": parameters[4:], "weight_decay": decays[1]},
    ]
    optimizer = rule(groups, lr=RATE, statistics=True, **own)
    silent = rule(copied := copy.deepcopy(parameters), lr=RATE, weight_decay=0.0, **own)
    for parameter, other in zip(parameters, copied, strict=True):
        other.grad = None if parameter.grad is None else parameter.grad.clone()
    for _ in range(3):
        weights = [parameter.detach().clone() for parameter in parameters]
        optimizer.step()
        silent.step()
        expected = torch.zeros(2, dtype=torch.float64)
        for number, (parameter, weight) in enumerate(zip(parameters, weights, strict=True)):
            if parameter.grad is not None:
                decay = decays[number >= 4] if rule is FusedSGD else 0.0
                expected[0] += (parameter.grad + decay * weight).double().square().sum()
                kept = optimizer.state[parameter]
                expected[1] += kept["momentum_buffer" if rule is FusedSGD else "exp_avg"].double().square().sum()
        torch.testing.assert_close(optimizer.statistics, expected, rtol=1e-6, atol=0)
    assert silent.statistics is None
    assert same(parameters[4:], copied[4:])  # measuring changes nothing


@pytest.mark.parametrize("rule", [FusedSGD, FusedAdamW])
def test_whole_blocks_are_read_where_all_addresses_are_aligned_and_nowhere_else(rule, monkeypatch):
    """On a card a load of 128 bits at another address is an error, and one of 32 bits at these a waste."""
    from fastbs.kernels import adamw_kernel, sgd_kernel

    module = sgd_kernel if rule is FusedSGD else adamw_kernel
    whole, read = [], module.read

    def watched(pointer, at, stop, WHOLE):
        address = int(pointer.handle.data[0])
        if WHOLE:
            assert address % 16 == 0
            whole.append(address)
        return read(pointer, at, stop, WHOLE)

    monkeypatch.setattr(module, "read", watched)
    aligned, shifted = make([(200,), (200,)], offsets=(0, 1))
    rule([aligned, shifted], lr=RATE).step()
    ends = [range(one.data_ptr(), one.data_ptr() + 4 * 200) for one in (aligned, aligned.grad)]
    assert all(any(address in end for address in whole) for end in ends)
    assert not any(address in range(shifted.data_ptr(), shifted.data_ptr() + 4 * 200) for address in whole)
