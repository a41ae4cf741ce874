import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fastbs.analysis.student_t import mean_interval, t_quantile


@given(p=st.floats(0.0005, 0.9995), df=st.one_of(st.integers(1, 2000), st.floats(0.5, 50)))
def test_quantiles_are_scipys(p, df):
    expected = stats.t.ppf(p, df)
    assert t_quantile(p, df) == pytest.approx(expected, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize(("p", "df"), [(0.0, 3), (1.0, 3), (0.5, 0), (math.nan, 3)])
def test_quantiles_that_do_not_exist_are_refused(p, df):
    with pytest.raises(ValueError, match="needs 0 < p < 1"):
        t_quantile(p, df)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=9))
def test_the_interval_of_a_mean_is_scipys(values):
    interval = mean_interval(values)
    error = stats.sem(values)
    half = stats.t.ppf(0.975, len(values) - 1) * error
    assert interval.estimate == pytest.approx(np.mean(values), abs=1e-9)
    assert interval.high - interval.estimate == pytest.approx(half, rel=1e-8, abs=1e-9)
    assert interval.estimate - interval.low == pytest.approx(half, rel=1e-8, abs=1e-9)


def test_one_value_bounds_nothing_and_no_value_has_no_mean():
    assert mean_interval([0.7]).bounds() is None
    assert mean_interval([0.7]).estimate == 0.7
    with pytest.raises(ValueError, match="no values"):
        mean_interval([])


def test_equal_values_are_known_no_better_than_their_resolution():
    assert mean_interval([0.5, 0.5], 0.01).high - 0.5 == pytest.approx(stats.t.ppf(0.975, 1) * 0.01 / math.sqrt(2))
    assert mean_interval([0.4, 0.6], 0.01) == mean_interval([0.4, 0.6])


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_interval_covers_the_true_mean_in_95_percent_of_trials(n):
    rng = np.random.default_rng(n)
    covered = [i.low <= 3 <= i.high for i in map(mean_interval, 3 + rng.standard_normal((2000, n)))]
    assert 0.935 <= np.mean(covered) <= 0.965
