import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fastbs.analysis.proportion import sampling_error


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_it_is_half_of_scipys_wilson_interval(k_n):
    k, n = k_n
    expected = stats.binomtest(k, n).proportion_ci(method="wilson")
    assert sampling_error(k / n, n) == pytest.approx((expected.high - expected.low) / 2, abs=1e-12)


def test_the_sampling_error_of_449_images_at_948_is_two_points():
    assert sampling_error(0.948, 449) == pytest.approx(1.96 * (0.948 * 0.052 / 449) ** 0.5, rel=0.02)


@pytest.mark.parametrize("top1", [0.0, 1.0])
def test_a_perfect_score_is_not_known_perfectly(top1):
    assert sampling_error(top1, 100) > 0.01
