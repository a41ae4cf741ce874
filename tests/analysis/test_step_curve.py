"""Step times at any size: floors, cliffs, noise, and sizes that too few processes measured."""

import math

import numpy as np
import pytest

from fastbs.analysis.step_curve import fit_step_curve

SIZES = (8, 16, 32, 64, 128, 256, 512)


def measured(law, spread, processes=3, sizes=SIZES, seed=0):
    rng = np.random.default_rng(seed)
    return {size: {p: law(size) * math.exp(spread * rng.standard_normal()) for p in range(processes)} for size in sizes}


def floor(size):
    return max(15.6e-3, 1.2e-3 + 0.08e-3 * size)


def test_a_floor_ends_where_it_ends_and_not_on_a_straight_line_between_measured_sizes():
    curve = fit_step_curve(measured(floor, 0.01), paired=False)
    for size in (8, 100, 150, 180, 200, 256, 400):
        assert curve.seconds(size) == pytest.approx(floor(size), rel=0.04)
    line_between = floor(128) + (180 - 128) / (256 - 128) * (floor(256) - floor(128))
    assert curve.seconds(180) < floor(180) + 0.6 * (line_between - floor(180))


def test_cliffs_are_kept_where_they_are_measured_and_noise_is_not():
    def cliffs(size):
        return (1e-3 + 1e-4 * size) * (1.15 if int(math.log2(size)) % 2 else 1)

    curve = fit_step_curve(measured(cliffs, 0.005), paired=False)
    assert [curve.seconds(size) / cliffs(size) for size in SIZES] == pytest.approx([1] * 7, abs=0.015)
    noisy = measured(lambda size: 1e-3 + 1e-4 * size, 0.15)
    curve = fit_step_curve(noisy, paired=False)
    off = [math.log(curve.seconds(size) / (1e-3 + 1e-4 * size)) for size in SIZES]
    own = [np.mean([math.log(step) for step in noisy[size].values()]) - math.log(1e-3 + 1e-4 * size) for size in SIZES]
    assert np.std(off) < 0.7 * np.std(own)


def test_draws_cover_the_truth_about_as_often_as_they_should():
    covered = 0
    for seed in range(60):
        drawn = fit_step_curve(measured(floor, 0.05, seed=seed), paired=False).draws([100.0])[:, 0]
        low, high = np.quantile(drawn, [0.025, 0.975])
        covered += low <= floor(100) <= high
    assert covered >= 54


def test_few_sizes_are_joined_and_one_process_is_believed():
    curve = fit_step_curve({8: {0: 1e-3}, 32: {0: 3e-3}}, paired=False)
    assert (curve.seconds(8), curve.seconds(32)) == (pytest.approx(1e-3), pytest.approx(3e-3))
    assert 1e-3 < curve.seconds(16) < 3e-3
    one = fit_step_curve({8: {0: 1e-3, 1: 1.1e-3}}, paired=True)
    assert one.seconds(8) == pytest.approx(math.sqrt(1.1) * 1e-3, rel=0.02)


def test_a_process_that_lacks_a_size_still_counts_for_the_others():
    steps = measured(floor, 0.01)
    del steps[512][2], steps[8][0]
    curve = fit_step_curve(steps, paired=True)
    assert curve.seconds(512) == pytest.approx(floor(512), rel=0.03)
