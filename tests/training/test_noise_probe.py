"""Draws for the gradient noise scale: what they measure, and what they cost."""

import pytest
import torch
from torch.nn import functional as F

from fastbs.config import RunConfig
from fastbs.data.check import verified_dataset
from fastbs.training.noise_probe import NoiseProbe
from fastbs.training.set_up import make_run_loader, make_step

CPU = torch.device("cpu")


def set_up(photos, **settings):
    dataset = verified_dataset(photos)
    defaults = {"image_size": 16, "precision": "fp32", "threads": 1, "loader_threads": 1, "augment": "none"}
    run = RunConfig(data=str(photos), **defaults | settings)
    torch.manual_seed(0)
    return NoiseProbe(run, dataset, CPU), make_step(run, 2, CPU), run, dataset


@pytest.mark.parametrize(("batch_size", "micro_batch", "parts"), [(1, 1, 128), (4, 4, 32), (16, 16, 8), (60, 16, 8)])
def test_a_draw_is_made_of_micro_batches_no_larger_than_the_batch(photos, batch_size, micro_batch, parts):
    probe, step, *_ = set_up(photos, batch_size=batch_size)
    draw = probe.draw(step, images=5, updates=1)
    assert (draw.micro_batch, len(draw.squared_norms)) == (micro_batch, parts)
    assert (draw.images, draw.updates) == (5, 1) and draw.seconds > 0 and probe.draws == [draw]


def test_norms_are_those_of_gradients_taken_one_by_one(photos):
    probe, step, run, dataset = set_up(photos, batch_size=16, weight_decay=0.5)
    draw = probe.draw(step, images=0, updates=0)
    loader = iter(make_run_loader(run.replace(seed=1_000_003), dataset, "train", CPU))
    gradients = []
    parameters = list(step.model.parameters())
    for _ in range(8):
        try:
            batch = next(loader)
        except StopIteration:
            loader = iter(loader)
            break
        loss = F.cross_entropy(step.model(batch.images), batch.labels)
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]))
    for ours, gradient in zip(draw.squared_norms, gradients, strict=False):
        assert ours == pytest.approx(float(gradient.double().square().sum()), rel=1e-4)
    assert len(gradients) == 3  # of 60 images


def test_the_mean_of_equal_micro_batches_is_each_of_them(photos):
    """One micro-batch of all images, again and again: no noise, so every norm is that of the mean."""
    probe, step, *_ = set_up(photos, batch_size=60)
    probe._batches = iter([next(iter(probe._loader))] * 8)
    draw = probe.draw(step, images=0, updates=0)
    assert max(draw.squared_norms) == pytest.approx(draw.squared_norm_of_mean, rel=1e-4)


def test_fp16_gradients_are_unscaled(photos):
    wide, narrow = ((set_up(photos, batch_size=16, precision=name)) for name in ("fp32", "fp16"))
    norms = [probe.draw(step, images=0, updates=0).squared_norm_of_mean for probe, step, *_ in (wide, narrow)]
    assert norms[1] == pytest.approx(norms[0], rel=0.1)


def test_a_gradient_that_is_not_finite_gives_no_draw(photos):
    probe, step, *_ = set_up(photos, batch_size=16)
    with torch.no_grad():
        next(step.model.parameters()).fill_(float("inf"))
    assert probe.draw(step, images=0, updates=0) is None and probe.draws == []


def test_draws_keep_within_their_share_of_the_training_time(photos):
    probe, step, *_ = set_up(photos, batch_size=16)
    spent = probe.draw(step, images=0, updates=0).seconds
    assert not probe.affordable(1.9 * spent / 0.03) and probe.affordable(2.1 * spent / 0.03)
