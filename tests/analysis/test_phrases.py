import math

import pytest

from fastbs.analysis.interval import Interval
from fastbs.analysis.phrases import (
    duration,
    duration_interval,
    listed,
    margin_points,
    percent_interval,
    points,
    points_interval,
    top1,
)

OPEN = (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (percent_interval(Interval(0.37, 0.384, 0.391, 5)), "38 % [37, 39]"),
        (percent_interval(Interval(0.7605, 0.762, 0.764, 5)), "76.2 % [76.0, 76.4]"),
        (percent_interval(Interval(OPEN[0], 0.384, OPEN[1], 1)), "38 %"),
        (percent_interval(Interval(-8393.08, 0.33, 1.0, 2)), "33 % [< -999, 100]"),
        (percent_interval(Interval(0.05, 0.29, 11.2, 2)), "29 % [5, > 999]"),
        (duration_interval(Interval(0, 28980, 362627940, 2)), "8 h 03 [0:00, > 999 h]"),
        (points_interval(Interval(-0.06, -0.052, 0.0441, 5)), "-5.2 [-6.0, +4.4]"),
        (points_interval(Interval(OPEN[0], -0.052, OPEN[1], 1)), "-5.2"),
        (points(-0.0001), "+0.0"),
        (margin_points(0.01), "1 point"),
        (margin_points(0.005), "0.5 points"),
        (top1(0.947), ".947"),
        (top1(0.8), ".80"),
        (top1(1.0), "1.00"),
        (top1(0.0), ".00"),
        (duration(26820), "7 h 27"),
        (duration(43200 - 1), "12 h 00"),
        (duration(1620), "27 min"),
        (duration(4.31), "4.3 s"),
        (duration_interval(Interval(26340, 26820, 27240, 5)), "7 h 27 [7:19, 7:34]"),
        (listed([4]), "4"),
        (listed([4, 8, 32]), "4, 8 and 32"),
    ],
)
def test_numbers_read_as_people_write_them(text, expected):
    assert text == expected
