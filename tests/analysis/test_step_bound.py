"""What bounds a step follows from the shares of its causes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.analysis.step_bound import step_bound, step_shares, unexplained


def row(**changes):
    """A step of 10 ms on a CPU: 1 ms input, .5 ms update, 2 ms of launches, 3 ms of arithmetic, 1 at best."""
    return {
        "step_seconds": 0.01,
        "phases": {"input": 0.001, "forward": 0.003, "backward": 0.005, "update": 0.0005, "rest": 0.0003},
        "flops": 1_000_000,
        "matmul_flops_per_second": 1e9,
        "arithmetic_seconds": 0.003,
        "operators": 200,
        "operator_seconds": 1e-5,
        "busy_seconds": None,
        "communication_seconds": None,
        **changes,
    }


def test_the_shares_are_those_of_the_step_and_memory_is_what_is_left():
    shares = step_shares(row())
    assert shares.pop("communication") is None
    assert shares == pytest.approx({"input": 0.1, "update": 0.05, "launch": 0.2, "compute": 0.3, "memory": 0.35})
    assert step_bound(shares) == "memory"


@pytest.mark.parametrize(
    ("changes", "bound"),
    [
        ({"phases": row()["phases"] | {"input": 0.006}}, "input"),
        ({"phases": row()["phases"] | {"update": 0.006}}, "update"),
        ({"operators": 700}, "launch"),
        ({"communication_seconds": 0.005}, "communication"),
        ({"communication_seconds": -0.005}, "memory"),
        ({"arithmetic_seconds": 0.008}, "compute"),
        ({"arithmetic_seconds": None, "flops": 8_000_000}, "compute"),
        ({"busy_seconds": 0.003, "operators": None}, "launch"),
        ({"busy_seconds": 0.0095, "operators": None, "arithmetic_seconds": 0.007}, "compute"),
    ],
)
def test_the_largest_cause_bounds_the_step(changes, bound):
    assert step_bound(step_shares(row(**changes))) == bound


def test_a_card_that_waits_for_images_is_not_held_up_by_launches():
    waiting = row(busy_seconds=0.003, phases=row()["phases"] | {"input": 0.006})
    assert step_shares(waiting)["launch"] == pytest.approx(0.1)


@given(*[st.floats(0, 10) for _ in range(4)])
def test_every_share_lies_between_0_and_1_however_the_causes_overlap(images, update, arithmetic, operators):
    phases = row()["phases"] | {"input": images, "update": update}
    shares = step_shares(row(phases=phases, arithmetic_seconds=arithmetic, operators=operators * 1e3))
    assert shares.pop("communication") is None and all(0 <= share <= 1 for share in shares.values())
    assert step_bound(shares) in shares


@pytest.mark.parametrize(("longer", "missed"), [(0.0102, 0.0392), (0.0098, 0.0), (0.0049, -1.0)])
def test_what_the_phases_miss_is_a_share_of_the_step(longer, missed):
    assert unexplained(row(step_seconds=longer)) == pytest.approx(missed, abs=1e-3)
