"""Seconds to a target from the two fits, and without a run to the target from the noise scale alone."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbs.analysis.noise_scale import NoiseScale
from fastbs.analysis.optimum import between_measured, closed_form, find_optimum
from fastbs.analysis.samples_to_target import fit_samples_to_target
from fastbs.analysis.step_time import StepTimeFit, fit_step_times_by_process
from fastbs.analysis.time_to_target import (
    optimum_from_noise,
    optimum_interval,
    predict,
    relative_seconds,
    seconds_to_target,
)

SIZES = (4, 16, 64, 256, 1024)
ALPHA, BETA, E_MIN = 2e-3, 1e-4, 50_000


def samples(rng, b_crit, spread, seeds=4):
    logs = spread * rng.standard_normal((len(SIZES), seeds))
    return fit_samples_to_target(
        SIZES, [list(E_MIN * (1 + size / b_crit) * np.exp(own)) for size, own in zip(SIZES, logs, strict=True)]
    )


def steps(rng, spread, processes=4):
    noise = np.exp(spread * rng.standard_normal((processes, len(SIZES))) + spread * rng.standard_normal((processes, 1)))
    return fit_step_times_by_process(SIZES, (ALPHA + BETA * np.array(SIZES)) * noise)


def curve(alpha=ALPHA, beta=BETA):
    return StepTimeFit(alpha, beta, 0.0, (1,), (0.0,))


def noise(low, images, high):
    return NoiseScale(images, low, high, 1.0, images, 10)


def truth(size, b_crit):
    return E_MIN * (1 / size + 1 / b_crit) * (ALPHA + BETA * size)


@pytest.mark.parametrize(("of_images", "of_steps"), [(0.1, 0.002), (0.01, 0.08)])
def test_predictions_and_the_fastest_size_lie_in_their_intervals(of_images, of_steps):
    rng, trials, covered = np.random.default_rng(1), 100, np.zeros(3)
    for _ in range(trials):
        b_crit = math.exp(rng.uniform(math.log(40), math.log(800)))
        law, step = samples(rng, b_crit, of_images), steps(rng, of_steps)
        for number, size in enumerate((8, 512)):
            seconds = predict(law, step, size)
            covered[number] += seconds.low <= truth(size, b_crit) <= seconds.high
        best = optimum_interval(law, step, 4, 1024)
        covered[2] += best.low <= closed_form(b_crit, ALPHA / BETA) <= best.high
    assert (covered >= 0.9 * trials).all()  # 95 %, less the same allowances as for the law


def test_images_and_steps_both_make_the_interval_wider():
    def width(of_images, of_steps):
        rng = np.random.default_rng(2)
        law, step = samples(rng, 100, of_images), steps(rng, of_steps)
        seconds, best = predict(law, step, 64), optimum_interval(law, step, 4, 1024)
        return np.log([seconds.high / seconds.low, best.high / best.low])

    assert (width(0.2, 0.005) > 2 * width(0.02, 0.005)).all()
    assert (width(0.02, 0.2) > 2 * width(0.02, 0.005)).all()


def test_beyond_the_data_a_prediction_is_as_wide_as_the_images():
    law = samples(np.random.default_rng(3), 100, 0.02)
    for size in (64, 8192):
        band, seconds = law.band(size), predict(law, curve(), size)
        assert seconds.high / seconds.low == pytest.approx(band.high / band.low)
        assert seconds.estimate == pytest.approx(law.updates(size) * curve().seconds(size))


def test_measured_steps_replace_the_fitted_ones_in_every_answer():
    rng = np.random.default_rng(4)
    law, step = samples(rng, 100, 0.05), steps(rng, 0.01)
    slow = between_measured({4: 0.0024, 16: 0.0036, 64: 0.02, 256: 0.3, 1024: 1.0}, step)  # cliffs
    assert predict(law, step, 256, slow).estimate == pytest.approx(law.updates(256) * 0.3)
    assert optimum_interval(law, step, 32, 1024, slow).high < 42 < optimum_interval(law, step, 32, 1024).estimate
    of_noise = noise(50, 100, 200)
    assert relative_seconds(of_noise, step, 256, 64, slow).estimate > relative_seconds(of_noise, step, 256, 64).estimate
    assert optimum_from_noise(of_noise, step, 32, 1024, slow).high < optimum_from_noise(of_noise, step, 32, 1024).high


def test_images_that_never_grow_leave_the_largest_size_the_fastest():
    flat = fit_samples_to_target(SIZES, [E_MIN] * len(SIZES))
    best = optimum_interval(flat, curve(), 4, 1024)
    assert best.low == best.estimate == best.high == 1024


@settings(max_examples=30)
@given(st.floats(10, 1e4), st.floats(1, 4), st.floats(1, 4), st.floats(4, 1e4), st.floats(4, 1e4))
def test_the_relative_time_is_that_of_the_law_with_the_noise_scale_as_b_crit(phi, below, above, size, reference):
    found = relative_seconds(noise(phi / below, phi, phi * above), curve(), size, reference)
    ratios = [truth(size, b) / truth(reference, b) for b in (phi / below, phi, phi * above)]
    expected = [min(ratios), ratios[1], max(ratios)]
    assert [found.low, found.estimate, found.high] == pytest.approx(expected)


def test_a_lower_bound_of_the_noise_scale_bounds_the_relative_time_on_one_side():
    found = relative_seconds(noise(200, math.inf, math.inf), curve(), 512, 64)
    throughput_alone = (ALPHA + BETA * 512) / 512 / ((ALPHA + BETA * 64) / 64)
    assert found.low == found.estimate == pytest.approx(throughput_alone)
    assert found.high == pytest.approx(truth(512, 200) / truth(64, 200))


def test_without_any_signal_from_the_noise_scale_updates_may_not_fall_at_all():
    found = relative_seconds(noise(0.0, 300, math.inf), curve(), 512, 64)
    assert found.high == pytest.approx((ALPHA + BETA * 512) / (ALPHA + BETA * 64))


def test_a_size_against_itself_takes_as_long_whatever_is_unknown():
    found = relative_seconds(noise(0.0, 300, math.inf), steps(np.random.default_rng(5), 0.1), 64, 64)
    assert [found.low, found.estimate, found.high] == pytest.approx([1, 1, 1])


@given(st.floats(50, 1e4))
def test_the_optimum_from_noise_is_the_closed_form_at_each_end(phi):
    found = optimum_from_noise(noise(phi / 2, phi, 3 * phi), curve(), 1, 1e5)
    expected = [closed_form(b, ALPHA / BETA) for b in (phi / 2, phi, 3 * phi)]
    assert [found.low, found.estimate, found.high] == pytest.approx(expected, rel=1e-3)


def test_an_endless_noise_scale_asks_for_the_largest_size():
    found = optimum_from_noise(noise(100, math.inf, math.inf), curve(), 4, 1024)
    assert found.low < 50 and found.estimate == found.high == 1024


def test_seconds_to_target_are_updates_times_their_length():
    law = samples(np.random.default_rng(6), 100, 0.0)
    seconds = seconds_to_target(law, curve().seconds)
    assert seconds(64) == pytest.approx(truth(64, 100))
    assert find_optimum(seconds, 4, 1024).batch_size == pytest.approx(closed_form(100, 20), rel=1e-3)
