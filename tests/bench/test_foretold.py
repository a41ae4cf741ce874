import math

import pytest

from fastbs.bench.foretold import regret_of

GRID = {8: [4.0, 4.0, 4.0], 16: [2.0, 2.0, 2.0], 32: [1.0, 1.0, 1.0], 64: [2.0, 2.0, 2.0]}


def test_the_regret_is_the_time_over_the_least_less_one():
    assert regret_of(32, GRID) == (0.0, 0.0, 0.0)
    assert regret_of(8, GRID)[0] == pytest.approx(3.0)


def test_a_size_between_two_is_read_from_a_line_in_logarithms():
    assert regret_of(math.sqrt(16 * 32), GRID)[0] == pytest.approx(math.sqrt(2) - 1)


def test_a_size_that_misses_the_target_is_infinitely_worse_and_no_best():
    missed = GRID | {32: [1.0, math.inf, 1.0]}
    assert regret_of(32, missed)[0] == math.inf
    assert regret_of(16, missed)[0] == 0.0


def test_the_interval_comes_from_the_seeds():
    noisy = {8: [1.0, 1.2, 0.9, 1.1, 1.0], 16: [1.1, 1.0, 1.2, 0.9, 1.05]}
    regret, low, high = regret_of(16, noisy)
    assert low <= regret <= high and low == 0 < high
