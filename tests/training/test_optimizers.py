import pytest
import torch

from fastbs.config import RunConfig
from fastbs.training.optimizers import lr_at, make_optimizer

TOTAL = 10_000


def run(**settings):
    return RunConfig(data="photos", lr=0.1, **settings)


@pytest.mark.parametrize("batch_size", [1, 8, 128])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear"])
def test_the_rate_at_an_image_is_the_same_for_every_batch_size_once_warm(schedule, batch_size):
    reference = run(schedule=schedule, warmup_images=1024, batch_size=1)
    config = run(schedule=schedule, warmup_images=1024, batch_size=batch_size)
    for images in range(1024, TOTAL, 1024):
        assert lr_at(config, images, TOTAL) == lr_at(reference, images, TOTAL)


def test_warm_up_rises_in_equal_steps_to_the_full_rate():
    config = run(warmup_images=40, batch_size=10)
    assert [lr_at(config, images, TOTAL) for images in (0, 10, 20, 30, 40)] == pytest.approx(
        [0.025, 0.05, 0.075, 0.1, 0.1]
    )


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_a_schedule_falls_from_the_full_rate_to_nothing(schedule):
    rates = [lr_at(run(schedule=schedule), images, TOTAL) for images in range(0, TOTAL + 1, 100)]
    assert rates[0] == 0.1 and rates[-1] == pytest.approx(0, abs=1e-12)
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize(("optimizer", "oracle"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_the_fused_update_is_the_plain_one(optimizer, oracle):
    torch.manual_seed(0)
    plain = torch.nn.Linear(5, 3)
    fused = torch.nn.Linear(5, 3)
    fused.load_state_dict(plain.state_dict())
    ours = make_optimizer(fused, run(optimizer=optimizer))
    if oracle is torch.optim.SGD:
        theirs = oracle(plain.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    else:
        theirs = oracle(plain.parameters(), lr=0.1, betas=(0.9, 0.999), weight_decay=0.0)
    for seed in range(5):
        x = torch.randn(4, 5, generator=torch.Generator().manual_seed(seed))
        for model, optimizer_ in ((plain, theirs), (fused, ours)):
            model(x).square().sum().backward()
            optimizer_.step()
            optimizer_.zero_grad()
    torch.testing.assert_close(fused.weight, plain.weight, rtol=1e-5, atol=1e-6)


def test_weight_decay_spares_biases_and_norms():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.GroupNorm(2, 4))
    groups = make_optimizer(model, run(weight_decay=0.1)).param_groups
    assert {group["weight_decay"]: {p.ndim for p in group["params"]} for group in groups} == {0.1: {4}, 0.0: {1}}
