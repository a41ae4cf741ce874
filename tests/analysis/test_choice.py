import pytest

from fastbs.analysis.choice import Option, fastest_as_good
from fastbs.analysis.evidence import Setting
from fastbs.analysis.interval import Interval


def option(difference, time=(0.4, 0.5, 0.6), size=8, margin=0.01):
    return Option(Setting("main", size), Interval(*time, 3), time[2] < 1, Interval(*difference, 3), margin)


@pytest.mark.parametrize(
    ("difference", "as_good", "worse"),
    [
        ((-0.002, 0.001, 0.004), True, False),
        ((0.01, 0.02, 0.03), True, False),
        ((-0.009, -0.001, 0.007), True, False),  # not proven, and a loss of the margin is excluded
        ((-0.019, -0.005, 0.009), False, False),  # not proven, and not excluded: cannot tell
        ((-0.009, -0.006, -0.003), True, False),  # proven, and a trifle
        ((-0.10, -0.03, 0.04), False, False),  # not proven, and large on the mean: cannot tell
        ((-0.02, -0.008, -0.001), False, False),  # proven, but perhaps a trifle
        ((-0.06, -0.05, -0.04), False, True),
        ((-float("inf"), 0.0, float("inf")), False, False),
    ],
)
def test_as_good_and_worse_leave_a_gap_for_cannot_tell(difference, as_good, worse):
    assert (option(difference).as_good, option(difference).worse) == (as_good, worse)


def test_what_is_open_may_be_faster():
    same = (-0.001, 0.0, 0.001)
    assert option(same, (0.5, 0.9, 1.1)).may_be_faster
    assert option(same, (-float("inf"), 0.5, float("inf"))).may_be_faster
    assert not option(same, (0.96, 0.98, 0.99)).may_be_faster  # by less than 5 %


def test_the_fastest_of_those_as_good_is_chosen():
    same, bad = (-0.001, 0.0, 0.001), (-0.06, -0.05, -0.04)
    found = [option(same, (0.7, 0.7, 0.7), 2), option(same, (0.5, 0.5, 0.5), 4), option(bad, (0.2, 0.2, 0.2), 8)]
    assert fastest_as_good(found).setting.batch_size == 4
    assert fastest_as_good(found[2:]) is None
