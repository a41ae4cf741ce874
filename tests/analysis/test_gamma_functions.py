import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from fastbs.analysis.gamma_functions import digamma, trigamma, trigamma_inverse


@given(st.floats(1e-3, 1e6))
def test_they_are_scipys(x):
    assert digamma(x) == pytest.approx(scipy.special.digamma(x), rel=1e-11, abs=1e-11)
    assert trigamma(x) == pytest.approx(scipy.special.polygamma(1, x), rel=1e-11)
    assert trigamma_inverse(trigamma(x)) == pytest.approx(x, rel=1e-6)
