import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.errors import BadInput
from fastbs.results.checked import LIMIT, Checked, shown

TAKE = ("text", "scalar", "number", "positive", "zero_or_more", "fraction", "count", "flag")
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(junk, st.sampled_from(TAKE))
def test_a_value_is_what_its_method_says_or_refused_on_one_printable_line(value, take):
    try:
        taken = getattr(Checked(value, "a.json", "rows[3].x"), take)()
    except BadInput as error:
        text = str(error)
        assert text.startswith("a.json: rows[3].x: ") and text.isprintable() and len(text) < 250
        text.encode()
    else:
        assert taken == value and not isinstance(taken, list | dict)
        if isinstance(taken, float):
            assert math.isfinite(taken)
        if isinstance(taken, str):
            taken.encode()


@pytest.mark.parametrize(
    ("take", "fits", "refused"),
    [
        (
            "positive",
            [1, 0.5, 1e-9],
            [0, -1, True, "1", None, math.nan, math.inf, -math.inf, 10**400, LIMIT, 1 / LIMIT],
        ),
        ("zero_or_more", [0, 1, 0.5], [-1, False, "0", None, math.nan, math.inf, 10**400]),
        ("number", [-1.5, 0, 7], [True, "1", None, math.nan, -math.inf, -(10**400), []]),
        ("fraction", [0, 1, 0.25], [-0.1, 1.1, True, "1", None, math.nan]),
        ("count", [1, 128], [0, -8, 8.0, True, "8", None, 10**400]),
        ("text", ["", "a|b\n<b>"], [None, 1, ["a"], "\ud800"]),
        ("flag", [True, False], [0, 1, None, "true"]),
        ("scalar", [None, True, 3, 0.5, "x"], [math.nan, [], {}]),
    ],
)
def test_what_fits_and_what_does_not(take, fits, refused):
    for value in fits:
        taken = getattr(Checked(value, "a"), take)()
        assert taken == value
    for value in refused:
        with pytest.raises(BadInput):
            getattr(Checked(value, "a"), take)()


def test_the_place_is_said_down_to_the_element():
    document = Checked({"rows": [{"stats": {"data": [1, 0]}}]}, "a.json")
    *_, last = next(document["rows"].each())["stats"]["data"].each()
    with pytest.raises(BadInput, match=r"^a\.json: rows\[0\]\.stats\.data\[1\]: 0 is not a number above 0; "):
        last.positive()
    with pytest.raises(BadInput, match=r"^a\.json: small 8: 0 is not a number above 0"):
        last.within("small 8").positive()


def test_what_must_be_there_is_refused_when_missing_and_the_rest_is_unknown():
    document = Checked({"a": None, "b": {"c": 1}}, "a.json")
    with pytest.raises(BadInput, match="d: missing"):
        document["d"]
    assert document.get("d").get("e").known(Checked.positive) is None
    assert list(document.get("a").each()) == [] == list(document.get("a").items())
    assert document.get("b").get("c").known(Checked.positive) == 1
    with pytest.raises(BadInput, match="b: an object is not a list"):
        list(document["b"].each())
    with pytest.raises(BadInput, match="b.c: 1 is not an object"):
        document["b"]["c"].get("x")


@given(junk)
def test_a_value_is_shown_on_one_short_line(value):
    assert len(shown(value)) <= 100 and shown(value).isprintable()


def test_a_list_that_is_nested_deeply_is_shown():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "a list"
