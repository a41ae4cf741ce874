"""The running noise scale from simulated training whose noise scale is known."""

import math

import numpy as np
import pytest

from fastbs.analysis.running_noise_scale import feedback, running_noise_scale, squared_average

DIMENSIONS, BATCH = 50, 16


def simulate(rng, updates, *, beta, rate=0.0, curvature=0.0, noise=1.0, start=1.0, nesterov=False, first=0, trials=1):
    """SGD with torch's momentum on 1/2 sum of curvature * w^2; all arrays (trials, DIMENSIONS).

    Returns |g|^2, |m|^2 and the |G|^2 that the weights really had, (trials, updates) each, from update `first` on.
    """
    curvature = np.broadcast_to(curvature, DIMENSIONS)
    w = np.full((trials, DIMENSIONS), start)
    buffer = np.zeros_like(w)
    norms = []
    for update in range(updates):
        mean = curvature * w if rate else w
        g = mean + noise * rng.standard_normal(w.shape)
        buffer = beta * buffer + g
        w = w - rate * (g + beta * buffer if nesterov else buffer)
        if update >= first:
            norms.append([(x**2).sum(axis=1) for x in (g, buffer, mean)])
    gradients, buffers, means = np.array(norms).transpose(1, 2, 0)
    return gradients, squared_average(buffers, beta), means


def estimates(gradients, averages, **given):
    return [running_noise_scale(g, m, batch_size=BATCH, **given) for g, m in zip(gradients, averages, strict=True)]


@pytest.mark.parametrize("beta", [0.5, 0.9, 0.98])
def test_weights_that_stay_give_the_noise_scale_without_bias(beta):
    """From the first update on, where the average has hardly begun."""
    rng = np.random.default_rng(0)
    gradients, averages, means = simulate(rng, 300, beta=beta, noise=3.0, trials=400)
    found = estimates(gradients, averages, beta=beta)
    truth, variance = means[0, 0], 9.0 * DIMENSIONS
    for values, expected in (
        ([one.gradient_squared for one in found], truth),
        ([one.trace for one in found], BATCH * variance),
    ):
        error = np.std(values) / math.sqrt(len(values))
        assert abs(np.mean(values) - expected) < 4 * error and error < 0.05 * expected


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("beta", [0.6, 0.9])
@pytest.mark.parametrize("start", [0.0, 4.0])
def test_on_a_quadratic_the_bias_is_the_stated_one(beta, nesterov, start):
    """From weights that have settled (a gradient of wandering alone), and on the way down."""
    rng = np.random.default_rng(1)
    curvature = np.linspace(0.1, 1.0, DIMENSIONS)
    rate = 0.02 * (1 - beta)
    first = 2000 if start == 0 else 0
    gradients, averages, means = simulate(
        rng,
        first + 150,
        beta=beta,
        rate=rate,
        curvature=curvature,
        start=start,
        first=first,
        nesterov=nesterov,
        trials=600,
    )
    found = estimates(gradients, averages, beta=beta, first_update=first + 1)
    values = np.array([one.gradient_squared for one in found])
    variances = np.array([one.trace / BATCH for one in found])
    used = found[0].updates
    truth = means[:, -used - round(beta / (1 - beta)) :].mean(axis=1) if start == 0 else lagged(means, used, beta)
    stated = feedback(rate, beta, curvature.sum(), nesterov=nesterov)
    decay = rate * curvature / (1 - beta)
    second_order = float((decay**2 * beta / (1 - beta) ** 2).max() * truth.mean() + 0.1 * stated)
    error = (values - truth).std() / math.sqrt(len(values))
    assert abs((values - truth).mean() + stated) < second_order + 4 * error
    assert (
        abs(variances.mean() - DIMENSIONS - stated) < second_order + 4 * error + 4 * variances.std() / len(found) ** 0.5
    )
    assert start > 0 or stated > 10 * error  # there is a bias to see


def lagged(means, used, beta):
    """|G|^2 at the mean age of the averages, between two updates where that falls between them."""
    moments = np.arange(means.shape[1])[-used:] - beta / (1 - beta)
    return np.array([np.interp(moments, np.arange(len(one)), one).mean() for one in means])


def test_where_training_only_wanders_there_is_no_gradient_to_see():
    rng = np.random.default_rng(2)
    settled = simulate(rng, 6000, beta=0.9, rate=0.002, curvature=1.0, start=0.0, first=2000)
    one = estimates(*settled[:2], beta=0.9, first_update=2001)[0]
    assert one.high == math.inf and one.gradient_squared < settled[2].mean()


def test_drift_is_said_where_weights_wander_fast_and_no_number_is_given():
    rng = np.random.default_rng(7)
    settled = simulate(rng, 3000, beta=0.9, rate=0.02, curvature=1.0, start=0.0, first=1000, trials=50)
    found = estimates(*settled[:2], beta=0.9, first_update=1001)
    assert all(one.drift and one.images is None and one.gradient_squared < 0 for one in found)
    assert all((one.low, one.high) == (0, math.inf) for one in found)


@pytest.mark.parametrize(("start", "most"), [(0.0, 0.05), (1.0, 0.0)])
def test_drift_is_not_said_of_weights_that_stay(start, most):
    """Not even where there is no gradient at all, but for one in forty."""
    rng = np.random.default_rng(8)
    gradients, averages, _ = simulate(rng, 1500, beta=0.9, start=start, trials=300)
    assert sum(one.drift for one in estimates(gradients, averages, beta=0.9)) <= most * 300


@pytest.mark.parametrize("beta", [0.5, 0.9])
@pytest.mark.parametrize("ratio", [0.1, 10.0, 1000.0])
def test_at_the_best_rate_the_stated_share_of_the_gradient_is_missing(beta, ratio):
    """The best rate is searched for: of 1/2 sum h w^2 after one step along a noisy gradient."""
    rng = np.random.default_rng(9)
    h, w = rng.uniform(0.1, 2.0, DIMENSIONS), rng.standard_normal(DIMENSIONS)
    mean = h * w
    variance = rng.uniform(0.5, 2.0, DIMENSIONS)  # of each direction, of a batch
    variance *= ratio * (h * mean**2).sum() / (h * variance).sum()  # so that B_noise / B is `ratio`
    rates = np.linspace(0, 2, 200_001)
    loss = (h * w**2).sum() - 2 * rates * (mean**2).sum() + rates**2 * (h * (mean**2 + variance)).sum()
    best = rates[loss.argmin()]
    missing = feedback(best * (1 - beta), beta, (h * variance).sum()) / (mean**2).sum()
    assert missing == pytest.approx(ratio / (1 + ratio) / (1 + beta), abs=0.02)


def test_a_gradient_that_changes_steadily_is_no_noise():
    t = np.arange(400)
    path = np.stack([1 + 0.01 * t, 3 - 0.005 * t])
    average, averages = np.zeros(2), []
    for g in path.T:
        average = 0.9 * average + 0.1 * g
        averages.append((average**2).sum())
    one = running_noise_scale((path**2).sum(axis=0), averages, beta=0.9, batch_size=BATCH)
    assert one.images == pytest.approx(0, abs=1e-3 * BATCH)
    assert one.gradient_squared == pytest.approx((path**2).sum(axis=0).mean(), rel=0.05)


@pytest.mark.parametrize("noise", [1.0, 5.0])
def test_the_interval_holds_the_truth_in_93_percent_of_300_trials(noise):
    rng = np.random.default_rng(3)
    gradients, averages, means = simulate(rng, 1500, beta=0.9, noise=noise, trials=300)
    found = estimates(gradients, averages, beta=0.9)
    truth = BATCH * noise**2 * DIMENSIONS / means[0, 0]
    assert sum(one.low <= truth <= one.high for one in found) >= 0.93 * 300
    assert all(one.low <= one.images <= one.high for one in found)


def test_few_updates_have_an_estimate_and_no_interval():
    rng = np.random.default_rng(4)
    gradients, averages, _ = simulate(rng, 100, beta=0.9)
    one = estimates(gradients, averages, beta=0.9)[0]
    assert one.low == 0 and one.high == math.inf and math.isfinite(one.images)


def test_void_updates_are_left_out():
    rng = np.random.default_rng(5)
    gradients, averages, _ = simulate(rng, 200, beta=0.9)
    with_void = [np.insert(series[0], [3, 50, 120], math.nan) for series in (gradients, averages)]
    assert running_noise_scale(*with_void, beta=0.9, batch_size=BATCH) == estimates(gradients, averages, beta=0.9)[0]


def test_a_series_that_begins_later_says_the_same():
    rng = np.random.default_rng(6)
    gradients, averages, _ = simulate(rng, 4000, beta=0.9, noise=2.0)
    whole = running_noise_scale(gradients[0], averages[0], beta=0.9, batch_size=BATCH)
    later = running_noise_scale(gradients[0][50:], averages[0][50:], beta=0.9, batch_size=BATCH, first_update=51)
    assert later.images == pytest.approx(whole.images, rel=0.05)


def test_dampened_and_summed_averages_are_the_same_average():
    assert squared_average(4.0, 0.5) == 1.0
    assert squared_average(4.0, 0.5, dampening=0.5) == 4.0


def test_too_few_updates_or_no_average_are_refused():
    with pytest.raises(ValueError, match="too few"):
        running_noise_scale([1.0] * 5, [1.0] * 5, beta=0.9, batch_size=8)
    with pytest.raises(ValueError, match="no running noise scale"):
        running_noise_scale([1.0] * 50, [1.0] * 50, beta=0.0, batch_size=8)
