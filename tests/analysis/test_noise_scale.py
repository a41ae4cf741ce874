"""The gradient noise scale from simulated gradients whose noise scale is known."""

import dataclasses
import math

import numpy as np
import pytest

from fastbs.analysis.noise_scale import noise_scale
from fastbs.results.record import NoiseDraw

DIMENSIONS, MICRO_BATCH, PARTS = 200, 16, 8


def draw(gradients, micro_batch=MICRO_BATCH):
    return NoiseDraw(
        images=0,
        updates=0,
        micro_batch=micro_batch,
        squared_norms=tuple(map(float, (gradients**2).sum(axis=1))),
        squared_norm_of_mean=float((gradients.mean(axis=0) ** 2).sum()),
        seconds=1.0,
    )


def gaussian(rng, scale):
    return rng.standard_normal((PARTS, DIMENSIONS)) * math.sqrt(scale / DIMENSIONS)


def heavy_tailed(rng, scale):
    return rng.standard_t(3, size=(PARTS, DIMENSIONS)) * math.sqrt(scale / DIMENSIONS / 3)


def of_few_directions(rng, scale, count=30):
    return rng.standard_normal((PARTS, count)) @ np.eye(count, DIMENSIONS) * math.sqrt(scale / count)


def of_five_directions(rng, scale):
    return of_few_directions(rng, scale, 5)


def with_outliers(rng, scale):
    """Whole gradients are larger or smaller: some images have much the largest ones."""
    return gaussian(rng, scale) * np.exp(0.5 * rng.standard_normal((PARTS, 1)) - 0.25)


def draws(rng, count, scale, noise=gaussian):
    """Micro-batch gradients around a unit vector: |G|^2 = 1, tr Sigma = scale."""
    mean = rng.standard_normal(DIMENSIONS)
    mean /= np.linalg.norm(mean)
    return [draw(mean + noise(rng, scale) / math.sqrt(MICRO_BATCH)) for _ in range(count)]


@pytest.mark.parametrize("count", [5, 10, 30])
@pytest.mark.parametrize("noise", [gaussian, heavy_tailed, of_five_directions, with_outliers])
def test_the_lower_bound_is_below_the_truth_in_95_percent_of_trials(count, noise):
    rng = np.random.default_rng(count)
    for scale in (300, 10_000):
        found = [noise_scale(draws(rng, count, scale, noise)) for _ in range(300)]
        assert sum(one.low <= scale for one in found) >= 0.95 * 300
        assert all(math.isfinite(one.low) for one in found)


@pytest.mark.parametrize(
    ("count", "scale", "noise"),
    [
        (30, 1000, gaussian),
        (5, 300, gaussian),
        (3, 100, gaussian),
        (10, 300, heavy_tailed),
        (6, 300, of_few_directions),
        (8, 20_000, gaussian),
        (2, 100, gaussian),
        (10, 300, with_outliers),
        (30, 1000, of_few_directions),
        (10, 50, of_five_directions),
    ],
)
def test_the_interval_holds_the_truth_in_93_percent_of_300_trials(count, scale, noise):
    rng = np.random.default_rng(count)
    found = [noise_scale(draws(rng, count, scale, noise)) for _ in range(300)]
    assert sum(one.low <= scale <= one.high for one in found) >= 0.93 * 300
    assert all(one.low <= one.images <= one.high for one in found)


def test_a_gradient_lost_in_noise_gives_a_lower_bound_and_no_number_to_trust():
    rng = np.random.default_rng(0)
    found = [noise_scale(draws(rng, 8, 1e6)) for _ in range(300)]
    assert sum(one.lower_bound_only for one in found) >= 0.9 * 300
    assert sum(one.low > 1e6 for one in found) <= 0.05 * 300
    assert sum(one.low > 0 for one in found) >= 0.95 * 300


def test_the_ratio_of_means_is_not_the_mean_of_ratios():
    """One draw whose |G|^2 comes out negative must not turn the sign, and does not blow up the rest."""
    rng = np.random.default_rng(1)
    one = noise_scale(draws(rng, 400, 1000))
    assert one.images == pytest.approx(1000, rel=0.1) and one.gradient_squared == pytest.approx(1, rel=0.1)
    assert one.trace == pytest.approx(1000, rel=0.05)


def test_estimates_are_those_of_the_formula_by_hand():
    one = noise_scale([draw(np.array([[3.0, 0.0], [1.0, 0.0]]), micro_batch=4)])
    assert one.gradient_squared == pytest.approx((8 * 4 - 4 * 5) / 4)  # q = 4, s = 5
    assert one.trace == pytest.approx((5 - 4) / (1 / 4 - 1 / 8))
    assert one.images == pytest.approx(8 / 3)


def test_one_draw_says_how_large_and_not_how_sure():
    one = noise_scale(draws(np.random.default_rng(2), 1, 100))
    assert one.low == 0 and one.high == math.inf and one.draws == 1


def test_gradients_that_agree_have_no_noise():
    one = noise_scale([draw(np.ones((8, 5)))] * 3)
    assert one.images == pytest.approx(0, abs=1e-9) and one.high < 1e-6


def test_micro_batches_of_another_size_say_the_same():
    rng, mean = np.random.default_rng(3), np.full(DIMENSIONS, DIMENSIONS**-0.5)
    for size in (1, 4, 64):
        many = [draw(mean + gaussian(rng, 100) / math.sqrt(size), micro_batch=size) for _ in range(600)]
        assert noise_scale(many).images == pytest.approx(100, rel=0.1)


def test_draws_of_unlike_micro_batches_can_be_taken_together():
    rng, mean = np.random.default_rng(4), np.full(DIMENSIONS, DIMENSIONS**-0.5)

    def mixed():
        """Eight micro-batches of 4 and eight of 64: the mean of the small ones is smaller than one of the large."""
        return [
            draw(mean + gaussian(rng, 100) / math.sqrt(size), micro_batch=size) for size in (4, 64) for _ in range(5)
        ]

    found = [noise_scale(mixed()) for _ in range(300)]
    assert sum(one.low <= 100 <= one.high for one in found) >= 0.93 * 300


def finite_draws(rng, gradients, micro_batch, parts, count):
    """Micro-batches cut one after the other from shuffled epochs over the (N, D) gradients of single images."""
    n = len(gradients)
    cuts = [
        (epoch, gradients[part].mean(axis=0))
        for epoch in range(-(-count * parts // (n // micro_batch)))
        for part in np.split(rng.permutation(n)[: n - n % micro_batch], n // micro_batch)
    ]
    for at in range(0, count * parts, parts):
        epochs, means = zip(*cuts[at : at + parts], strict=True)
        taken = tuple(epochs.count(epoch) for epoch in sorted(set(epochs)))
        yield dataclasses.replace(draw(np.array(means), micro_batch), train_images=n, epoch_parts=taken)


@pytest.mark.parametrize(("micro_batch", "parts"), [(2, 10), (10, 8), (30, 4), (4, 8)])
def test_of_few_images_the_noise_scale_is_that_of_linear_regression_on_them(micro_batch, parts):
    """60 images whose gradients x (x w - y) are known: G is their mean, Sigma their covariance."""
    rng = np.random.default_rng(micro_batch)
    x, noise = rng.standard_normal((60, 20)), rng.standard_normal(60)
    gradients = x * (x @ np.full(20, 0.3) - noise)[:, None]
    trace, squared = gradients.var(axis=0, ddof=1).sum(), (gradients.mean(axis=0) ** 2).sum()
    found = noise_scale(list(finite_draws(rng, gradients, micro_batch, parts, 3000)))
    assert found.trace == pytest.approx(trace, rel=0.04)
    assert found.gradient_squared == pytest.approx(squared, rel=0.04)
    assert found.low < trace / squared < found.high


def test_without_the_number_of_images_a_draw_is_one_of_endless_data():
    rng = np.random.default_rng(6)
    gradients = 0.3 + rng.standard_normal((60, 20))
    trace, squared = gradients.var(axis=0, ddof=1).sum(), (gradients.mean(axis=0) ** 2).sum()
    old = [
        dataclasses.replace(one, train_images=None, epoch_parts=()) for one in finite_draws(rng, gradients, 2, 10, 3000)
    ]
    assert noise_scale(old).gradient_squared == pytest.approx(squared - trace / 60, rel=0.05)


def test_where_noise_is_not_of_images_alone_the_interval_still_holds_the_truth():
    """Half of the variance is new with every look at an image, as by augmentation: the correction is too much there."""
    rng = np.random.default_rng(7)
    images = rng.standard_normal((200, 50))
    images += 0.1 - images.mean(axis=0)
    truth = (images.var(axis=0, ddof=1).sum() + 50) / (50 * 0.1**2)

    def drawn():
        looks = images[rng.permutation(200)[:160]] + rng.standard_normal((160, 50))
        return dataclasses.replace(draw(looks.reshape(8, 20, 50).mean(axis=1), 20), train_images=200, epoch_parts=(8,))

    found = [noise_scale([drawn() for _ in range(40)]) for _ in range(200)]
    assert sum(one.low <= truth <= one.high for one in found) >= 0.95 * 200
    assert np.median([one.images for one in found]) == pytest.approx(truth / (1 + 0.5 * truth / 200), rel=0.1)


def test_no_draw_is_refused():
    with pytest.raises(ValueError, match="no draws"):
        noise_scale([])
