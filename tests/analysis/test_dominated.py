"""Which batch sizes leave a race: not the best one, and the clearly slow ones soon."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.analysis.dominated import SPREAD, Race


def test_a_size_with_one_run_leaves_at_twice_the_best_time_and_not_before():
    race = Race({8: [10.0], 32: [20.0], 128: [20.4], 512: [None]})
    assert race.leader == 8 and race.limit == pytest.approx(20.28, abs=0.01)
    assert [race.dominated_by(size) for size in (8, 32, 128, 512, 1)] == [None, None, 8, 8, None]


def test_more_runs_decide_on_smaller_differences_and_sooner_where_runs_differ_little():
    assert Race({8: [10.0] * 4, 32: [15.0] * 4}).dominated_by(32) == 8
    assert Race({8: [10.0] * 4, 32: [15.0]}).dominated_by(32) is None
    assert Race({8: [7.0, 14.0, 5.0, 20.0], 32: [10.0, 21.0, 8.0, 30.0]}).dominated_by(32) is None


def test_the_spread_goes_from_what_is_expected_to_what_is_seen():
    assert Race({}).spread == SPREAD == Race({8: [3.0], 32: [None, 5.0]}).spread
    rng = random.Random(0)
    many = {size: [math.exp(rng.gauss(0, 0.1)) * size for _ in range(400)] for size in (1, 8)}
    assert Race(many).spread == pytest.approx(0.1, rel=0.05)


def test_nothing_leaves_before_a_size_has_arrived_with_every_run():
    assert Race({}).leader is None and Race({}).limit is None
    race = Race({8: [10.0, None], 32: [None]})
    assert race.leader is None and race.dominated_by(32) is None


@given(st.dictionaries(st.integers(1, 512), st.lists(st.none() | st.floats(0.1, 1e4), max_size=5), max_size=6))
def test_the_leader_never_leaves_and_nobody_faster_than_it_does(seconds):
    race = Race(seconds)
    for size, times in seconds.items():
        if race.dominated_by(size) is not None:
            assert size != race.leader and any(time is None or time > race.limit / race.margin(1) for time in times)


@pytest.mark.parametrize(("spread", "cost"), [(0.1, 0.42), (0.25, 0.5)])
def test_the_fastest_of_five_sizes_is_seldom_lost_and_half_of_the_cost_is_saved(spread, cost):
    """Five seeds in turn, each dominated size left out."""
    rng, lost, made = random.Random(1), 0, 0
    truth = {32: 10.0, 8: 13.0, 128: 15.0, 2: 30.0, 512: 40.0}  # in the order of the first seed
    for _ in range(1000):
        seconds = {size: [] for size in truth}
        for _ in range(5):
            for size, mean in truth.items():
                race = Race(seconds)
                if race.dominated_by(size) is None:
                    time = mean * math.exp(spread * rng.gauss(0, 1))
                    seconds[size].append(time if race.limit is None or time <= race.limit else None)
                    made += min(time, race.limit or math.inf)
        lost += Race(seconds).dominated_by(32) is not None
    assert lost <= 20 and made < cost * 1000 * 5 * sum(truth.values())
