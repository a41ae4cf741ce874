import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbs.analysis.step_time import (
    b_half_from_saving,
    fit_step_times_by_process,
    fixed_share_from_saving,
)

SIZES = [1, 2, 4, 8, 32]
DOUBLINGS = [1, 2, 4, 8, 16, 32, 64, 128]
positive = st.floats(1e-6, 1e-1)


def fit_step_time(sizes, seconds):
    return fit_step_times_by_process(sizes, [seconds])


@given(alpha=positive, beta=positive)
def test_an_exact_line_is_recovered_exactly_and_without_a_floor(alpha, beta):
    fit = fit_step_time(SIZES, [alpha + beta * size for size in SIZES])
    assert fit.alpha == pytest.approx(alpha, rel=1e-6, abs=1e-9 * beta)
    assert fit.beta == pytest.approx(beta, rel=1e-6, abs=1e-9 * alpha)
    assert fit.host == 0
    assert fit.max_residual < 1e-6


@settings(max_examples=30)
@given(ratio=st.floats(0.5, 20), seed=st.integers(0, 10**6))
def test_no_other_line_has_smaller_squares_on_logarithms(ratio, seed):
    sizes = np.array([1, 4, 32])  # three, so that no floor can be fitted
    seconds = (ratio + sizes) * np.exp(0.05 * np.random.default_rng(seed).standard_normal(3))
    fit = fit_step_time(sizes, seconds)

    def squares(alpha, beta):
        return float((np.log(seconds / (alpha + beta * sizes)) ** 2).sum())

    best = squares(fit.alpha, fit.beta)
    for a, b in [(1.01, 1), (0.99, 1), (1, 1.01), (1, 0.99), (1.003, 0.997), (0.997, 1.003)]:
        assert squares(a * fit.alpha, b * fit.beta) >= best - 1e-12


def test_alpha_and_beta_are_never_negative():
    falling = fit_step_time(SIZES, [1.0 / size for size in SIZES])
    assert falling.beta == 0 and falling.b_half == math.inf
    steeper_than_a_line = fit_step_time(SIZES, [size**1.5 for size in SIZES])
    assert steeper_than_a_line.alpha == 0 and steeper_than_a_line.b_half == 0


@pytest.mark.parametrize("sizes", [[1, 8], [1, 2, 4], [8, 16, 32]])
def test_fewer_than_three_sizes_or_less_than_a_factor_of_eight_is_refused(sizes):
    with pytest.raises(ValueError, match="at least three batch sizes that span a factor of eight"):
        fit_step_time(sizes, [1.0] * len(sizes))


def test_intervals_over_processes_cover_the_truth_in_95_percent_of_trials():
    rng = np.random.default_rng(1)
    alpha, beta, trials = 1.22, 0.385, 300
    covered = np.zeros(3)
    for _ in range(trials):
        noise = np.exp(0.02 * rng.standard_normal((5, 4)) + 0.03 * rng.standard_normal((5, 1)))
        fit = fit_step_times_by_process([1, 2, 4, 8], (alpha + beta * np.array([1, 2, 4, 8])) * noise)
        intervals = [fit.interval(lambda f: f.alpha), fit.interval(lambda f: f.beta), fit.interval(lambda f: f.b_half)]
        truths = [alpha, beta, alpha / beta]
        covered += [i.low <= truth <= i.high for i, truth in zip(intervals, truths, strict=True)]
    assert (covered / trials >= 0.92).all() and (covered / trials <= 0.98).all()


@pytest.mark.parametrize("power", [1.0, 0.95, 0.9])
def test_a_batch_four_times_the_largest_saves_more_than_any_can_in_5_percent_of_trials_or_fewer(power):
    rng, sizes = np.random.default_rng(3), np.array([8, 32, 128, 512])
    seconds = 1.2 + 0.35 * sizes**power
    saved = 1 - (1.2 + 0.35 * 2048**power) / 2048 / (seconds[0] / 8)
    fits = [fit_step_times_by_process(sizes, seconds * np.exp(0.02 * rng.standard_normal((5, 4)))) for _ in range(100)]
    assert np.mean([saved > fit.saving_interval(8).high for fit in fits]) <= 0.07


def test_a_floor_is_found_where_there_is_one_and_hardly_ever_where_there_is_none():
    rng = np.random.default_rng(2)
    sizes = np.array(DOUBLINGS)
    line, floored = 1.22 + 0.385 * sizes, np.maximum(5, 1.22 + 0.385 * sizes)
    noise = np.exp(0.02 * rng.standard_normal((60, len(sizes))))
    found = [fit_step_time(DOUBLINGS, floored * own) for own in noise]
    assert sum(fit.host > 0 for fit in found) >= 57
    assert np.mean([fit.host for fit in found]) == pytest.approx(5, rel=0.01)
    assert np.mean([fit.alpha for fit in found]) == pytest.approx(1.22, rel=0.1)
    assert sum(fit_step_time(DOUBLINGS, line * own).host > 0 for own in noise) <= 3


def test_under_a_floor_larger_batches_save_more_than_the_line_says():
    seconds = [max(5, 1.22 + 0.385 * size) for size in DOUBLINGS]
    fit = fit_step_time(DOUBLINGS, seconds)
    assert fit.host == pytest.approx(5)
    assert fit.most_any_size_can_save(1) == pytest.approx(1 - 0.385 / 5)
    assert fit.fixed_share(1) == pytest.approx(1.22 / 1.605)


def test_what_can_be_saved_is_never_below_nothing():
    noisy = [[1.2, 2.0, 4.1, 8.3], [0.9, 2.0, 3.8, 8.1], [1.3, 2.1, 4.0, 7.6]]
    saving = fit_step_times_by_process([1, 2, 4, 8], noisy).saving_interval(1)
    assert saving.low == 0 < saving.estimate < saving.high < 1


def test_a_cliff_shows_as_the_largest_residual():
    seconds = [1.22 + 0.385 * size for size in DOUBLINGS]
    seconds[5] *= 1.2
    fit = fit_step_time(DOUBLINGS, seconds)
    assert int(np.argmax(np.abs(fit.residuals))) == 5
    assert fit.max_residual > 0.1


@given(alpha=st.floats(0, 10), beta=st.floats(0.01, 10))
def test_what_a_saving_implies_is_the_line_that_gives_it(alpha, beta):
    saving = 1 - (alpha + 2 * beta) / (2 * (alpha + beta))
    assert fixed_share_from_saving(max(0.0, saving)) == pytest.approx(alpha / (alpha + beta), abs=1e-9)
    assert b_half_from_saving(max(0.0, saving)) == pytest.approx(alpha / beta, rel=1e-6, abs=1e-9)


def test_the_posts_40_percent_implies_80_percent_fixed_and_b_half_4():
    assert fixed_share_from_saving(0.4) == pytest.approx(0.8)
    assert b_half_from_saving(0.4) == pytest.approx(4)


@pytest.mark.parametrize("saving", [-0.01, 0.5, 0.7])
def test_a_saving_that_no_fixed_cost_gives_is_refused(saving):
    with pytest.raises(ValueError, match="between 0 and 50 %"):
        fixed_share_from_saving(saving)
