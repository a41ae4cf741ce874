import copy

import pytest
import torch
from torch.nn import functional as F

from fastbs.config import RunConfig
from fastbs.data.batch import Batch
from fastbs.training import precision
from fastbs.training.step import Step

CPU = torch.device("cpu")
CLASSES = 3


def config(**settings):
    return RunConfig(data="photos", batch_size=8, **{"precision": "fp32", "lr": 0.05} | settings)


def net():
    torch.manual_seed(1)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(288, 3)
    )


def batches(count, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        labels = torch.randint(CLASSES, (8,), generator=generator)
        images = torch.randn(8, 3, 8, 8, generator=generator) + labels.view(-1, 1, 1, 1)
        yield Batch(images.to(dtype).to(memory_format=torch.channels_last), labels)


def train(step, count=10):
    dtype = precision.batch_dtype(step._config.precision)
    return torch.stack([step(batch) for batch in batches(count, dtype)])


def test_a_step_is_forward_backward_and_sgd_by_hand():
    model = net()
    oracle = copy.deepcopy(model)
    step = Step(model, config(momentum=0.0), CPU)
    for batch in batches(3):
        loss = F.cross_entropy(oracle(batch.images), batch.labels)
        gradients = torch.autograd.grad(loss, list(oracle.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(oracle.parameters(), gradients, strict=True):
                parameter -= 0.05 * gradient
        torch.testing.assert_close(step(batch), loss.detach())
    for ours, theirs in zip(model.parameters(), oracle.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


# The low formats round to 2^-8 (bf16) and 2^-11 (fp16); a few updates amplify that a little.
@pytest.mark.parametrize(("name", "tolerance"), [("bf16", 0.05), ("fp16", 0.01)])
def test_mixed_precision_follows_fp32_and_keeps_fp32_weights(name, tolerance):
    reference = train(Step(net(), config(), CPU))
    model = net()
    losses = train(Step(model, config(precision=name), CPU))
    torch.testing.assert_close(losses, reference, rtol=tolerance, atol=tolerance)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_training_repeats_bit_for_bit():
    once, again = (train(Step(net(), config(precision="bf16"), CPU)) for _ in range(2))
    assert torch.equal(once, again)


def test_warm_up_leaves_no_trace():
    cold, warm = Step(net(), config(), CPU), Step(net(), config(), CPU)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    warm.warm_up(next(batches(1)))
    assert torch.equal(torch.get_rng_state(), before)
    assert warm.take_metrics() == (0.0, 0)
    assert torch.equal(train(cold), train(warm))
    assert all(torch.equal(a, b) for a, b in zip(cold.model.buffers(), warm.model.buffers(), strict=True))


def test_metrics_are_sums_over_the_batches_since_they_were_taken():
    step = Step(net(), config(lr=1e-9), CPU)
    losses = train(step, 4)
    total, hits = step.take_metrics()
    assert total == pytest.approx(float(losses.sum()), rel=1e-5)
    with torch.no_grad():
        expected = sum(int((step.model(batch.images).argmax(1) == batch.labels).sum()) for batch in batches(4))
    assert hits == pytest.approx(expected, abs=1)
    assert step.take_metrics() == (0.0, 0)


def test_a_loss_that_is_not_finite_is_noticed():
    step = Step(net(), config(lr=1e30), CPU)
    train(step, 4)
    assert not step.loss_is_finite()


def test_an_fp16_gradient_that_overflows_is_skipped_and_counted():
    model = net()
    step = Step(model, config(precision="fp16"), CPU)
    step.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40, growth_interval=1000)
    before = [parameter.clone() for parameter in model.parameters()]
    step(next(batches(1, torch.float16)))
    assert step.skipped_updates() == 1
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    train(step, 40)
    assert 1 < step.skipped_updates() < 41


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_state_continues_bit_for_bit(optimizer):
    settings = config(optimizer=optimizer, precision="fp16")
    whole = Step(net(), settings, CPU)
    losses = train(whole, 10)
    first, second = Step(net(), settings, CPU), Step(net(), settings, CPU)
    every = list(batches(10, torch.float16))
    for batch in every[:4]:
        first(batch)
    first.take_metrics()
    second.model.load_state_dict(first.model.state_dict())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert torch.equal(torch.stack([second(batch) for batch in every[4:]]), losses[4:])


def test_tf32_on_a_cpu_is_refused():
    with pytest.raises(Exception, match="tf32 is a format of NVIDIA GPUs"):
        precision.set_up("tf32", CPU)
