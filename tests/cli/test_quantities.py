import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.cli.quantities import BYTES, JOULES, SECONDS, Duration, Energy, MemorySize


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Duration(), "10m", 600),
        (Duration(), "10min", 600),
        (Duration(), "8h", 28_800),
        (Duration(), "90", 90),
        (Duration(), "1.5 h", 5400),
        (Duration(), "250ms", 0.25),
        (MemorySize(), "80G", 80 * 2**30),
        (MemorySize(), "80GiB", 80 * 2**30),
        (MemorySize(), "80GB", 80e9),
        (MemorySize(), "512M", 2**29),
        (MemorySize(), "1e9", 1e9),
        (Energy(), "5kJ", 5000),
        (Energy(), "2Wh", 7200),
        (Energy(), ".5", 0.5),
    ],
)
def test_a_quantity_is_its_number_times_its_unit(kind, text, value):
    assert kind.convert(text, None, None) == pytest.approx(value)


@pytest.mark.parametrize("kind", [Duration(), MemorySize(), Energy()])
@pytest.mark.parametrize("text", ["", "h", "-5s", "0", "1..5", "5 parsecs", "nan", "inf", "1e400", "10mm", "1h30"])
def test_anything_else_is_refused_with_an_example(kind, text):
    with pytest.raises(click.BadParameter, match=f"is no {kind.name} above 0; write "):
        kind.convert(text, None, None)


@given(
    st.floats(1e-3, 1e6), st.sampled_from([(Duration(), SECONDS), (MemorySize(), BYTES), (Energy(), JOULES)]), st.data()
)
def test_every_unit_scales_what_stands_before_it(number, kind, data):
    unit = data.draw(st.sampled_from(sorted(kind[1])))
    assert kind[0].convert(f"{number!r}{unit}", None, None) == pytest.approx(number * kind[1][unit])
