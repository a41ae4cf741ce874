import dataclasses
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.analysis.convergence import median_with_misses, still_falling
from fastbs.results.record import Evaluation

BLANK = Evaluation(
    images=0,
    updates=0,
    train_seconds=0.0,
    wall_seconds=0.0,
    train_loss=0.0,
    train_top1=0.0,
    loss=0.0,
    top1=0.0,
    balanced_top1=0.0,
    lr=0.1,
)


def run(losses=(), top1=()):
    values = losses or [0.0] * len(top1)
    return [
        dataclasses.replace(
            BLANK, train_seconds=float(i), wall_seconds=10.0 + i, train_loss=loss, top1=top1[i] if top1 else 0.0
        )
        for i, loss in enumerate(values)
    ]


@pytest.mark.parametrize("n", [4, 5, 8, 20])
def test_a_loss_that_falls_steadily_is_still_falling_and_a_flat_one_is_not(n):
    assert still_falling([run([2.3 - 2 * i / n for i in range(n)])] * 3) is True
    assert still_falling([run([2.3, 1.0] + [0.5] * (n - 2))] * 3) is False


def test_noise_around_a_level_is_not_falling():
    assert still_falling([run([2.0, 1.0, 0.52, 0.48, 0.51, 0.49, 0.52, 0.49])]) is False


def test_a_loss_near_zero_may_go_on_falling_in_relative_terms():
    assert still_falling([run([0.1 * 0.8**i for i in range(12)])]) is False


def test_seeds_are_averaged():
    falling, rising = run([2.0, 1.5, 1.0, 0.8]), run([2.0, 1.5, 1.0, 1.3])
    assert still_falling([falling, falling, falling]) is True
    assert still_falling([falling, rising, rising]) is False


def test_too_few_evaluations_or_runs_say_nothing():
    assert still_falling([]) is None
    assert still_falling([run([2.0, 1.0, 0.5])]) is None
    assert still_falling([run([2.0, 1.0, 0.5, 0.2]), run([2.0])]) is None


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e6)), max_size=9))
def test_a_median_with_misses_is_that_of_the_values_with_infinities(values):
    if not values:
        assert median_with_misses(values) is None
        return
    expected = statistics.median([math.inf if value is None else value for value in values])
    assert median_with_misses(values) == (None if expected == math.inf else expected)


def test_half_of_the_runs_is_not_enough_for_a_median():
    assert median_with_misses([1.0, 2.0, None, None]) is None
    assert median_with_misses([1.0, 2.0, None]) == 2.0
