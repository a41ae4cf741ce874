import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.analysis.spread import Spread
from fastbs.analysis.trend import fit_trend

SIZES = (1, 2, 4, 8, 32)
SLOPE = -0.03


def truth(size):
    return 0.9 + SLOPE * np.log2(size)


def coverage(rng, seeds, sizes, draw, resolution=0.0, trials=1000):
    """Part of `trials` in which the interval holds SLOPE; draw(expected) is one noisy top1."""
    covered = 0
    for _ in range(trials):
        offsets = 0.02 * rng.standard_normal(seeds)
        top1 = {size: {s: draw(truth(size) + offsets[s]) for s in range(seeds)} for size in sizes}
        slope = fit_trend(top1, Spread(resolution=resolution)).points_per_doubling
        covered += slope.low <= SLOPE <= slope.high
    return covered / trials


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_interval_covers_the_true_slope_in_95_percent_of_trials(seeds):
    rng = np.random.default_rng(seeds)
    assert 0.93 <= coverage(rng, seeds, SIZES, lambda p: p + 0.01 * rng.standard_normal()) <= 0.97


@pytest.mark.parametrize("seeds", [3, 5])
def test_it_does_so_too_for_counts_of_449_validation_images(seeds):
    rng = np.random.default_rng(10 + seeds)
    assert 0.93 <= coverage(rng, seeds, (1, 2, 4, 8), lambda p: rng.binomial(449, min(p, 1)) / 449, 1 / 449) <= 0.97


def test_losing_runs_neither_biases_nor_narrows():
    """A seed whose own level is far off and that lacks the largest size would tilt a slope of means by itself."""
    top1 = {size: {seed: truth(size) + 0.001 * seed for seed in range(4)} for size in SIZES}
    for size in SIZES[:-1]:
        top1[size][9] = truth(size) - 0.4
    trend = fit_trend(top1, Spread())
    assert trend.seeds == (0, 1, 2, 3)
    assert trend.points_per_doubling.estimate == pytest.approx(SLOPE)


def test_the_interval_covers_the_true_slope_although_runs_are_missing():
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(1000):
        offsets = 0.05 * rng.standard_normal(5)
        top1 = {size: {s: truth(size) + offsets[s] + 0.01 * rng.standard_normal() for s in range(5)} for size in SIZES}
        del top1[8][rng.integers(5)]
        slope = fit_trend(top1, Spread()).points_per_doubling
        covered += slope.low <= SLOPE <= slope.high
    assert 0.93 <= covered / 1000 <= 0.97


@given(st.floats(-0.2, 0.2), st.lists(st.floats(-0.3, 0.3), min_size=2, max_size=6))
def test_seed_offsets_common_to_all_sizes_do_not_count(slope, offsets):
    top1 = {size: {s: 0.5 + slope * np.log2(size) + o for s, o in enumerate(offsets)} for size in SIZES}
    assert fit_trend(top1, Spread()).points_per_doubling.bounds() == pytest.approx([slope, slope], abs=1e-9)


def test_a_size_without_any_run_is_left_out():
    top1 = {size: {s: truth(size) for s in range(3)} for size in SIZES} | {8: {}}
    assert fit_trend(top1, Spread()).batch_sizes == (1, 2, 4, 32)


def test_one_seed_gives_a_slope_without_an_interval():
    slope = fit_trend({1: {0: 0.9}, 2: {0: 0.8}}, Spread()).points_per_doubling
    assert slope.estimate == pytest.approx(-0.1) and slope.bounds() is None


def test_equal_slopes_are_known_no_better_than_one_image_resolves():
    """Two sizes a doubling apart: the slope is a difference of two top1, and so is its resolution."""
    top1 = {1: {0: 0.9, 1: 0.8}, 2: {0: 0.9, 1: 0.8}}
    slope = fit_trend(top1, Spread(resolution=1 / 449)).points_per_doubling
    assert (
        slope.high == pytest.approx(Spread(resolution=1 / 449).difference(top1[2], top1[1]).high) and slope.high > 0.01
    )
    wide = fit_trend({1: top1[1], 16: top1[2]}, Spread(resolution=1 / 449)).points_per_doubling
    assert wide.high == pytest.approx(slope.high / 4)


@pytest.mark.parametrize(
    ("top1", "reason"),
    [
        ({}, "fewer than two batch sizes"),
        ({1: {0: 0.9}, 2: {}}, "fewer than two batch sizes"),
        ({1: {0: 0.9}, 2: {1: 0.9}}, "no seed has a run that is ok at every one of 1, 2"),
    ],
)
def test_where_there_is_no_trend_it_says_why(top1, reason):
    with pytest.raises(ValueError, match=reason):
        fit_trend(top1, Spread())


def by_seed(means, sd, seeds, rng):
    return {size: {s: mean + sd * rng.standard_normal() for s in range(seeds)} for size, mean in means.items()}


def test_a_straight_line_is_called_bent_in_5_percent_of_trials():
    rng = np.random.default_rng(5)
    lines = (fit_trend(by_seed({b: truth(b) for b in SIZES}, 0.01, 3, rng), Spread()) for _ in range(1000))
    assert 0.035 <= np.mean([not trend.straight for trend in lines]) <= 0.065


def test_a_rise_and_a_fall_are_no_fall_however_the_slope_points():
    rng = np.random.default_rng(6)
    u_shape = {1: 0.90, 2: 0.95, 4: 0.96, 8: 0.955, 16: 0.88}
    trends = [fit_trend(by_seed(u_shape, 0.01, 3, rng), Spread(resolution=1e-3)) for _ in range(200)]
    assert np.mean([trend.straight for trend in trends]) < 0.01
    assert np.mean([trend.falls for trend in trends]) < 0.01
    assert np.mean([(1, 4) in trend.rises and trend.fall_excluded for trend in trends]) > 0.95


def test_a_fall_that_levels_off_is_one_though_no_straight_line():
    rng = np.random.default_rng(7)
    trends = [fit_trend(by_seed({1: 0.95, 2: 0.9, 4: 0.8, 8: 0.6}, 0.01, 5, rng), Spread()) for _ in range(100)]
    assert all(trend.falls and not trend.straight for trend in trends)


def test_equal_sizes_show_a_rise_in_less_than_5_percent_of_trials():
    rng = np.random.default_rng(8)
    flat = dict.fromkeys(SIZES, 0.9)
    rises = [bool(fit_trend(by_seed(flat, 0.01, 3, rng), Spread()).rises) for _ in range(1000)]
    assert np.mean(rises) <= 0.05
