import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.rendering.numbers import count, fraction, percent, significant, size, with_interval


@pytest.mark.parametrize(
    ("value", "text"), [(0.1234, "0.123"), (12.34, "12.3"), (1234.5, "1,234"), (0, "0"), (None, "-"), (99.96, "100.0")]
)
def test_three_digits_that_count(value, text):
    assert significant(value) == text


@pytest.mark.parametrize(
    ("value", "interval", "text"),
    [
        (1.6041, [1.583, 1.624], "1.60 [1.58, 1.62]"),
        (1.6041, [1.593, 1.615], "1.604 [1.593, 1.615]"),
        (1963.4, [1941.2, 1988.1], "1,963 [1,941, 1,988]"),
        (27.31, [25.9, 28.7], "27.3 [25.9, 28.7]"),
        (2.09, [0.7, 9.4], "2.1 [0.7, 9.4]"),
        (22.7, [0.04, 175.0], "23 [0.04, 175]"),
        (-0.9, [-1.4, -0.4], "-0.9 [-1.4, -0.4]"),
        (0.997, [0.76, 1.31], "1.0 [0.8, 1.3]"),
        (0.001, [-5.0, 5.0], "0.0 [-5.0, 5.0]"),
        (0.0, [-0.2, 0.2], "0.00 [-0.20, 0.20]"),
        (1.6, [1.6, 1.6], "1.600 [1.600, 1.600]"),
        (0.8, [0.79999999999, 0.8], "0.8000 [0.8000, 0.8000]"),
        (1.6, None, "1.60"),
        (None, None, "-"),
    ],
)
def test_an_interval_has_the_digits_that_its_width_deserves(value, interval, text):
    assert with_interval(value, interval) == text


def test_accuracies_percentages_counts_and_bytes():
    assert fraction(0.948, 0.006) == ".948 ±.006" and fraction(1.0) == "1.000" and fraction(None) == "-"
    assert percent(0.256) == "26 %" and percent(None) == "-"
    assert count(13480) == "13,480"
    assert (size(512), size(2048), size(3 << 30), size(None)) == ("512 B", "2 KiB", "3.0 GiB", "-")


@given(st.floats(1e-9, 1e9))
def test_no_digit_is_wrong_by_more_than_half_a_percent(value):
    assert float(significant(value).replace(",", "")) == pytest.approx(value, rel=0.006)


@given(st.floats(1e-6, 1e9), st.floats(0, 1), st.floats(0, 9))
def test_no_end_of_an_interval_moves_by_more_than_an_eighth_of_its_width(value, below, above):
    interval = value * (1 - below), value * (1 + above)
    shown = with_interval(value, interval).partition(" [")[2].removesuffix("]")
    ends = [float(end.replace(",", "")) for end in shown.split(", ")]
    assert ends == pytest.approx(interval, abs=max(0.13 * (interval[1] - interval[0]), 0.0006 * value))
