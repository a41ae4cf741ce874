import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.rendering.numbers import count, fraction, percent, significant, size, with_spread


@pytest.mark.parametrize(
    ("value", "text"), [(0.1234, "0.123"), (12.34, "12.3"), (1234.5, "1,234"), (0, "0"), (None, "-"), (99.96, "100.0")]
)
def test_three_digits_that_count(value, text):
    assert significant(value) == text


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [
        (1.6041, 0.021, "1.60 ±.02"),
        (27.31, 1.4, "27 ±1"),
        (1.6, None, "1.60"),
        (1.6, 0.0, "1.60"),
        (None, 1, "-"),
        (2.09, 1.4, "2.1 ±1.4"),
        (0.00081, 0.0001, "0.00081 ±.00010"),
        (1234.5, 2000.0, "1,234 ±2,000"),
        (0.0, 0.2, "0.0 ±.2"),
    ],
)
def test_digits_end_where_the_spread_begins(value, spread, text):
    assert with_spread(value, spread) == text


def test_accuracies_percentages_counts_and_bytes():
    assert fraction(0.948, 0.006) == ".948 ±.006" and fraction(1.0) == "1.000" and fraction(None) == "-"
    assert percent(0.256) == "26 %" and percent(None) == "-"
    assert count(13480) == "13,480"
    assert (size(512), size(2048), size(3 << 30), size(None)) == ("512 B", "2 KiB", "3.0 GiB", "-")


@given(st.floats(1e-9, 1e9))
def test_no_digit_is_wrong_by_more_than_half_a_percent(value):
    assert float(significant(value).replace(",", "")) == pytest.approx(value, rel=0.006)


@given(st.floats(1e-6, 1e9), st.floats(1e-9, 1e9))
def test_a_spread_of_any_size_leaves_the_value_two_digits(value, spread):
    shown = float(with_spread(value, spread).partition(" ±")[0].replace(",", ""))
    assert shown == pytest.approx(value, rel=0.051)
