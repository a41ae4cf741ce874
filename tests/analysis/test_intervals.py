import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.analysis.interval import Interval
from fastbs.analysis.paired import paired_ratio
from fastbs.analysis.spread import Spread


def paired_difference(values, base, resolution):
    return Spread(resolution=resolution).difference(values, base)


@given(st.floats(-10, 10), st.floats(0, 10), st.floats(0, 10))
def test_a_falling_function_swaps_the_ends(estimate, below, above):
    interval = Interval(estimate - below, estimate, estimate + above, 3)
    turned = interval.mapped(lambda value: -value)
    assert (turned.low, turned.estimate, turned.high) == (-interval.high, -estimate, -interval.low)


def test_an_unbounded_interval_stays_unbounded_under_any_function():
    assert Interval(-math.inf, 2.0, math.inf, 1).mapped(lambda value: 1 / value).bounds() is None
    assert Interval(-math.inf, 2.0, math.inf, 1).mapped(lambda value: 1 / value).estimate == 0.5


seeds = st.dictionaries(st.integers(0, 9), st.floats(0.1, 10), min_size=2)


@given(values=seeds, base=seeds)
def test_exchanging_the_two_sides_flips_the_sign_and_inverts_the_ratio(values, base):
    difference, back = paired_difference(values, base, 0.1), paired_difference(base, values, 0.1)
    ratio, inverse = paired_ratio(values, base), paired_ratio(base, values)
    if not values.keys() & base.keys():
        assert difference is back is ratio is inverse is None
        return
    assert difference.estimate == pytest.approx(-back.estimate)
    assert ratio.estimate == pytest.approx(1 / inverse.estimate)
    if difference.bounded:
        assert difference.low == pytest.approx(-back.high)
        assert ratio.low == pytest.approx(1 / inverse.high)


@given(seeds, st.floats(0.2, 5))
def test_what_a_seed_does_to_both_sides_does_not_count(base, factor):
    assert paired_ratio({seed: factor * value for seed, value in base.items()}, base).bounds() == pytest.approx(
        [factor, factor]
    )
    shifted = paired_difference({seed: value + factor for seed, value in base.items()}, base, 0.0)
    assert shifted.bounds() == pytest.approx([factor, factor])


def test_a_seed_that_only_one_side_has_is_left_out():
    assert paired_difference({0: 3.0, 1: 5.0, 2: 100.0}, {0: 1.0, 1: 2.0, 7: -100.0}, 0.0).estimate == 2.5


def test_two_seeds_that_lose_the_same_prove_no_loss_that_two_images_make():
    base = {0: 400 / 449, 1: 410 / 449}
    difference = paired_difference({0: 398 / 449, 1: 408 / 449}, base, 1 / 449)
    assert difference.low < 0 < difference.high
    assert paired_difference({0: 300 / 449, 1: 310 / 449}, base, 1 / 449).high < 0
