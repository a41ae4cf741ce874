import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.cli.options import BatchSizes


def parse(text):
    return BatchSizes().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("8", (8,)),
        ("1,2,4,8", (1, 2, 4, 8)),
        ("8..64x2", (8, 16, 32, 64)),
        ("8..64", (8, 16, 32, 64)),
        ("1..1024x4", (1, 4, 16, 64, 256, 1024)),
        ("1..100x10,96", (1, 10, 96, 100)),
        (" 4, 2 ,2", (2, 4)),
    ],
)
def test_sizes_are_listed_or_spanned(text, sizes):
    assert parse(text) == sizes


@pytest.mark.parametrize("text", ["0", "-4", "many", "", "1,,2", "8..4", "0..8", "8..64x1", "8..64x0", "1.5", "2..x2"])
def test_what_is_no_batch_size_is_refused_by_name(text):
    with pytest.raises(click.BadParameter, match="is no batch size above 0"):
        parse(text)


@given(st.lists(st.integers(1, 10**6), min_size=1))
def test_a_list_comes_back_sorted_and_without_repeats(sizes):
    assert parse(",".join(map(str, sizes))) == tuple(sorted(set(sizes)))
