"""The fastest batch size: against the closed form where it holds, and better than it where there is a floor."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.analysis.optimum import closed_form, find_optimum
from fastbs.analysis.step_time import StepTimeFit

LAW = (st.floats(100, 1e6), st.floats(1, 1e4), st.floats(1e-4, 0.1), st.floats(1e-5, 1e-2))


def step_time(alpha, beta, host=0.0):
    return StepTimeFit(alpha, beta, host, (1,), (0.0,))


def total(e_min, s_min, fit):
    return lambda size: (s_min + e_min / size) * fit.seconds(size)


@given(*LAW)
def test_without_a_floor_the_numerical_optimum_is_the_closed_form(e_min, s_min, alpha, beta):
    fit = step_time(alpha, beta)
    expected = closed_form(e_min / s_min, fit.b_half)
    found = find_optimum(total(e_min, s_min, fit), expected / 100, expected * 100)
    least = (math.sqrt(alpha * s_min) + math.sqrt(beta * e_min)) ** 2
    assert found.batch_size == pytest.approx(expected, rel=1e-3) and found.at_edge is None
    assert found.cost == pytest.approx(least, rel=1e-9)


@given(*LAW)
def test_the_five_percent_range_is_between_the_roots_of_the_quadratic(e_min, s_min, alpha, beta):
    fit = step_time(alpha, beta)
    middle = closed_form(e_min / s_min, fit.b_half)
    found = find_optimum(total(e_min, s_min, fit), middle / 1000, middle * 1000)
    least = (math.sqrt(alpha * s_min) + math.sqrt(beta * e_min)) ** 2
    b, c = -(1.05 * least - alpha * s_min - beta * e_min), alpha * e_min
    low, high = ((-b + sign * math.sqrt(b * b - 4 * beta * s_min * c)) / (2 * beta * s_min) for sign in (-1, 1))
    assert found.low == pytest.approx(low, rel=1e-6) and found.high == pytest.approx(high, rel=1e-6)


@given(*LAW, st.floats(0.5, 20))
def test_with_a_floor_it_is_never_worse_than_the_closed_form_and_as_good_as_brute_force(
    e_min, s_min, alpha, beta, host
):
    fit = step_time(alpha, beta, host * alpha)
    cost, middle = total(e_min, s_min, fit), closed_form(e_min / s_min, fit.b_half)
    found = find_optimum(cost, middle / 1000, middle * 1000)
    assert found.cost <= cost(middle) * (1 + 1e-12)
    brute = min(map(cost, np.geomspace(middle / 1000, middle * 1000, 20_000)))
    assert found.cost <= brute * (1 + 1e-9)
    assert found.low <= found.batch_size <= found.high
    assert cost(found.low) <= 1.05 * found.cost * (1 + 1e-6) and cost(found.high) <= 1.05 * found.cost * (1 + 1e-6)


def test_an_optimum_beyond_what_was_looked_at_is_at_the_edge():
    cost = total(10_000, 100, step_time(1e-3, 1e-4))  # least at sqrt(100 * 10) = 32
    assert find_optimum(cost, 64, 512).at_edge == "smallest"
    assert find_optimum(cost, 1, 16).at_edge == "largest" and find_optimum(cost, 1, 16).high == 16
    assert find_optimum(cost, 8, 8).batch_size == 8
    with pytest.raises(ValueError, match="no batch sizes from 9 to 8"):
        find_optimum(cost, 9, 8)


def test_energy_has_an_optimum_of_its_own_by_the_same_law():
    joules = total(10_000, 100, step_time(0.5, 0.2))  # a + c B per step
    assert find_optimum(joules, 1, 1000).batch_size == pytest.approx(math.sqrt(100 * 2.5), rel=1e-3)
