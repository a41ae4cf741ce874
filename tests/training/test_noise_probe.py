"""Draws for the gradient noise scale: what they measure, and what they cost."""

import pytest
import torch
from torch.nn import functional as F

from fastbs.analysis.noise_scale import noise_scale
from fastbs.config import RunConfig
from fastbs.data.check import verified_dataset
from fastbs.training.noise_probe import NoiseProbe
from fastbs.training.set_up import make_run_loader, make_step

CPU = torch.device("cpu")


def set_up(photos, norm="group", **settings):
    dataset = verified_dataset(photos)
    defaults = {"image_size": 16, "precision": "fp32", "threads": 1, "loader_threads": 1, "augment": "none"}
    run = RunConfig(data=str(photos), **defaults | settings)
    torch.manual_seed(0)
    step = make_step(run.replace(norm=norm), 2, CPU)
    return NoiseProbe(run, dataset, CPU, norm=norm), step, run, dataset


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
    probe._batches = iter([(0, next(iter(probe._loader)))] * 8)
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


@pytest.mark.parametrize(
    ("batch_size", "micro_batch", "images", "parts"),
    [(60, None, 60, 4), (30, None, 30, 4), (60, 20, 20, 6), (4, None, 4, 32)],
)
def test_with_batch_norm_a_micro_batch_is_what_one_pass_of_training_normalises(
    photos, batch_size, micro_batch, images, parts
):
    probe, step, *_ = set_up(photos, "batch", batch_size=batch_size, micro_batch=micro_batch)
    draw = probe.draw(step, images=0, updates=0)
    assert (draw.micro_batch, len(draw.squared_norms)) == (images, parts)
    assert (draw.train_images, sum(draw.epoch_parts)) == (60, parts) and max(draw.epoch_parts) <= 60 // images


def test_no_draw_is_made_where_every_one_would_be_the_whole_training_set(photos):
    whole, part = (set_up(photos, "batch", batch_size=size)[0] for size in (60, 30))
    assert not whole.affordable(1e9) and part.affordable(1e9)


def test_a_draw_leaves_running_statistics_mode_and_random_numbers_as_they_were(photos):
    probe, step, *_ = set_up(photos, "batch", batch_size=20)
    before, numbers = {name: t.clone() for name, t in step.model.state_dict().items()}, torch.get_rng_state()
    probe.draw(step, images=0, updates=0)
    after = step.model.state_dict()
    assert all(torch.equal(after[name], held) for name, held in before.items())
    assert step.model.training and torch.equal(torch.get_rng_state(), numbers)
    assert all(p.grad is None for p in step.model.parameters())


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_draws_find_the_noise_scale_of_the_passes_of_training(photos, norm):
    """Truth from 40 epochs of whole passes, whose mean is nearly the gradient of all images."""
    probe, step, run, dataset = set_up(photos, norm, batch_size=20)
    loader = make_run_loader(run.replace(seed=5), dataset, "train", CPU)
    passes = []
    with step.leaving_no_trace():
        for _ in range(40):
            for batch in loader:
                gradients = torch.autograd.grad(step.net_and_loss(*batch)[0], list(step.model.parameters()))
                passes.append(torch.cat([g.flatten() for g in gradients]).double())
    together = torch.stack(passes)
    trace = float(together.var(0).sum()) / (1 / 20 - 1 / 60)
    truth = trace / float(together.mean(0).square().sum())
    found = noise_scale([probe.draw(step, images=0, updates=0) for _ in range(30)])
    assert found.low * 0.95 < truth < found.high * 1.05 and found.high < 1.5 * found.low
