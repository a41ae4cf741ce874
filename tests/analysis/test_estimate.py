"""How surely a change is known: intervals that hold what they promise, and effects that would have been seen."""

import math
import random
import statistics

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from fastbs.analysis.comparison.estimate import Estimate, from_noise, from_pairs, rank_test, welch

TRIALS = 3000
few = st.lists(st.floats(-5, 5), min_size=2, max_size=8)


@pytest.mark.parametrize("df", [2.0, 4.5, 30.0, math.inf])
@given(change=st.floats(-3, 3), level=st.floats(1e-4, 0.5))
def test_an_interval_excludes_no_change_exactly_when_p_is_below_its_level(df, change, level):
    estimate = Estimate(change, 0.4, df, "processes")
    low, high = estimate.interval(level)
    if not math.isclose(estimate.p, level, rel_tol=1e-6):
        assert (low > 0 or high < 0) == (estimate.p < level)


def test_the_p_of_infinite_degrees_of_freedom_is_that_of_the_normal_distribution():
    estimate = Estimate(0.05, 0.02, math.inf, "assumed")
    assert estimate.p == pytest.approx(2 * scipy.stats.norm.sf(2.5))
    assert estimate.interval(0.05) == pytest.approx((0.05 - 1.959964 * 0.02, 0.05 + 1.959964 * 0.02))


@pytest.mark.parametrize(("processes", "level"), [(5, 0.05), (10, 0.05), (10, 0.0025)])
def test_the_smallest_visible_change_is_found_in_80_percent_of_trials(processes, level):
    """With the spread that is seen it varies from trial to trial: of its typical value, about 80 %."""
    draw, sd = random.Random(f"{processes} {level}"), 0.02

    def sides(change):
        return [[mean + draw.gauss(0, sd) for _ in range(processes)] for mean in (0.0, change)]

    visible = statistics.median(welch(*sides(0.0)).smallest_visible(level) for _ in range(TRIALS))
    found = sum(welch(*sides(visible)).p <= level for _ in range(TRIALS)) / TRIALS
    assert 0.74 <= found <= 0.86


@pytest.mark.parametrize("sizes", [(2, 2), (3, 3), (4, 4), (2, 5), (5, 5), (8, 5)])
@pytest.mark.parametrize("spreads", [(0.01, 0.01), (0.01, 0.04)])
def test_welch_raises_no_more_alarms_than_agreed_however_few_and_unequal(sizes, spreads):
    draw = random.Random(f"{sizes} {spreads}")
    alarms = 0
    for _ in range(TRIALS):
        base, head = ([draw.gauss(0, sd) for _ in range(n)] for n, sd in zip(sizes, spreads, strict=True))
        alarms += welch(base, head).p <= 0.05
    assert alarms / TRIALS <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / TRIALS)


def test_with_fewer_than_five_processes_the_degrees_of_freedom_are_those_of_the_smaller_side():
    draw = random.Random(1)
    four, five, nine = ([draw.gauss(0, 1) for _ in range(n)] for n in (4, 5, 9))
    assert welch(four, nine).df == welch(nine, four).df == 3
    assert welch(five, nine).df >= 4


@given(few, few, st.floats(-3, 3))
def test_a_shift_of_head_shifts_the_change_and_nothing_else(base, head, shift):
    before, after = welch(base, head), welch(base, [value + shift for value in head])
    assert after.change == pytest.approx(before.change + shift, abs=1e-9)
    assert after.se == pytest.approx(before.se, rel=1e-6, abs=1e-9)


def test_pairs_see_through_what_both_sides_share():
    draw = random.Random(2)
    shared = [draw.gauss(0, 0.5) for _ in range(8)]
    base = [value + draw.gauss(0, 0.001) for value in shared]
    head = [value + 0.01 + draw.gauss(0, 0.001) for value in shared]
    pairs = from_pairs([after - before for before, after in zip(base, head, strict=True)])
    assert pairs.p < 1e-5 and pairs.spread_from == "pairs" and pairs.df == 7
    assert welch(base, head).p > 0.5


def test_no_spread_and_no_change_is_no_evidence_and_a_change_without_spread_is_sure():
    assert welch([1.0, 1.0], [1.0, 1.0]).p == 1.0
    assert welch([1.0, 1.0], [1.1, 1.1]).p == 0.0
    assert from_pairs([0.0, 0.0]).p == 1.0


@pytest.mark.parametrize(("counts", "share"), [((1, 1), 1.0), ((4, 4), 0.5), ((1, 4), math.sqrt(1.25 / 2))])
def test_known_noise_is_of_two_single_processes_and_falls_with_their_number(counts, share):
    base, head = ([0.0] * n for n in counts)
    estimate = from_noise(base, head, noise=0.04, df=9.0, within=(0.0, 0.0), spread_from="calibration")
    assert estimate.se == pytest.approx(0.04 * share) and (estimate.df, estimate.spread_from) == (9.0, "calibration")


def test_what_a_process_varies_within_itself_comes_on_top():
    estimate = from_noise([0.0], [0.0], noise=0.03, df=math.inf, within=(0.0, 0.04), spread_from="assumed")
    assert estimate.se == pytest.approx(0.05)


def test_ranks_of_nothing_but_misses_tell_nothing():
    assert rank_test([math.inf] * 4, [math.inf] * 4) == 1.0
    assert rank_test([math.inf] * 30, [math.inf] * 30) == 1.0


def test_ranks_raise_no_more_alarms_than_agreed_when_half_of_the_runs_miss():
    draw = random.Random(3)
    alarms = 0
    for _ in range(TRIALS):
        base, head = ([draw.choice([math.inf, draw.random()]) for _ in range(5)] for _ in "AB")
        alarms += rank_test(base, head) <= 0.05
    assert alarms / TRIALS <= 0.05
