"""Which batch sizes an artefact takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.deployment.batch_range import BatchRange, batch_range
from fastbs.errors import BadInput

sizes = st.lists(st.integers(1, 200), min_size=1, max_size=5)


@given(sizes, st.sampled_from(["one", "each"]))
def test_every_size_that_was_asked_for_is_held_and_padding_never_loses_an_image(wanted, profiles):
    batch = batch_range(wanted, None, profiles)
    assert all(batch.holds(size) for size in wanted)
    assert all(batch.holds(size) for size in batch.to_try()) and {batch.min, batch.max} <= set(batch.to_try())
    assert batch.holds(batch.opt) and (batch.opt <= 32 or batch.opt == batch.min)
    for size in range(1, batch.max + 1):
        assert batch.padded(size) >= size and batch.holds(batch.padded(size))
    assert not batch.holds(batch.max + 1) and not batch.holds(batch.min - 1)
    if profiles == "one" and batch.max > batch.min > 1:
        assert any(size % 2 for size in batch.to_try() if size > batch.min) or batch.min % 2
    assert BatchRange.from_json(batch.to_json()) == batch
    low, high = min(shape[0] for shape in batch.shapes()), max(shape[2] for shape in batch.shapes())
    assert (low, high) == (batch.min, batch.max)


def test_one_profile_takes_every_size_between_and_one_per_size_only_those():
    one, each = (batch_range((1, 8, 64), None, profiles) for profiles in ("one", "each"))
    assert one.shapes() == [(1, 8, 64)] and one.holds(5) and one.describe() == "1..64, tuned for 8"
    assert each.shapes() == [(1, 1, 1), (8, 8, 8), (64, 64, 64)] and not each.holds(5) and each.padded(5) == 8
    assert each.describe() == "one profile per size: 1, 8, 64"
    assert batch_range((4,), None, "one").describe() == "4 only"


@pytest.mark.parametrize(
    ("wanted", "opt", "profiles", "said"),
    [
        ((1, 8), 16, "one", "opt: 16 is outside"),
        ((4, 8), 2, "one", "opt: 2 is outside"),
        ((1, 8), 8, "each", "opt: with --profiles each"),
        ((0, 8), None, "one", "batch-sizes: 0"),
    ],
)
def test_ranges_that_cannot_be_are_refused(wanted, opt, profiles, said):
    with pytest.raises(BadInput, match=said):
        batch_range(wanted, opt, profiles)
