"""Times to a target with misses: against enumeration, simulation and scipy."""

import itertools
import math
import random
import statistics

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from fastbs.analysis.censored import describe_times, runs_needed, wilson


@given(st.integers(0, 40), st.integers(1, 40))
def test_wilsons_interval_is_scipys(successes, n):
    successes = min(successes, n)
    expected = scipy.stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.lists(st.none() | st.floats(0.1, 100), max_size=9))
def test_the_median_counts_a_miss_as_longer_than_any_time(times):
    found = describe_times(times, [1.0] * len(times))
    values = [math.inf if time is None else time for time in times]
    expected = statistics.median(values) if values else math.inf
    assert found.median == (expected if math.isfinite(expected) else None)
    assert (found.n, found.reached) == (len(times), sum(math.isfinite(value) for value in values))


@pytest.mark.parametrize("n", range(1, 13))
def test_the_range_of_the_median_covers_it_as_often_as_it_says(n):
    """Every run lies below or above the median with even odds: all patterns are enumerated."""
    found = describe_times([float(i) for i in range(n)], [1.0] * n)
    low, high = int(found.median_range[0]), int(found.median_range[1])
    held = sum(low + 1 <= n - sum(pattern) <= high for pattern in itertools.product((0, 1), repeat=n))
    assert found.median_coverage == pytest.approx(held / 2**n)
    assert found.median_coverage >= 0.95 or (low, high) == (0, n - 1)


def test_five_runs_never_claim_95_percent():
    assert describe_times([1.0, 2.0, 3.0, 4.0, 5.0], [1.0] * 5).median_coverage == pytest.approx(0.9375)
    found = describe_times([1.0, None, 3.0, 4.0, 2.0], [1.0] * 5)
    assert found.median_range == [1.0, None] and found.median == 3.0


def test_the_expected_time_is_that_of_restarting_until_one_run_is_there():
    times = [3.0, None, 5.0, None, None]
    expected = describe_times(times, [3.0, 10.0, 5.0, 10.0, 10.0]).expected
    rng, total, trials = random.Random(0), 0.0, 20_000
    for _ in range(trials):
        while (time := rng.choice(times)) is None:
            total += 10.0
        total += time
    assert expected == pytest.approx(38 / 2) == pytest.approx(total / trials, rel=0.02)


def test_without_a_run_or_a_hit_nothing_is_made_up():
    empty, missed = describe_times([], []), describe_times([None, None], [7.0, 8.0])
    assert (empty.median, empty.median_range, empty.expected, empty.success_interval) == (None, None, None, (0.0, 1.0))
    assert (missed.median, missed.expected, missed.reached) == (None, None, 0)
    assert missed.median_range == [None, None] and missed.success_interval[1] < 0.7


@pytest.mark.parametrize(("spread", "difference"), [(0.1, 0.1), (0.24, 0.1), (0.1, 0.05)])
def test_as_many_runs_as_it_says_find_the_difference_in_80_percent(spread, difference):
    n, rng = runs_needed(spread, difference), random.Random(1)
    found = 0
    for _ in range(400):
        sides = [[rng.gauss(mean, spread) for _ in range(n)] for mean in (0.0, math.log1p(difference))]
        error = spread * math.sqrt(2 / n)
        found += abs(statistics.fmean(sides[1]) - statistics.fmean(sides[0])) > 1.96 * error
    assert 0.73 <= found / 400 <= 0.88
    assert runs_needed(0.02, 0.1) == 3
    with pytest.raises(ValueError, match="no difference"):
        runs_needed(0.1, 0.0)


def test_where_it_is_not_known_what_a_miss_spent_the_expected_time_is_not_either():
    found = describe_times([3.0, None], [3.0, math.inf])
    assert found.expected is None and found.median is None and found.reached == 1
