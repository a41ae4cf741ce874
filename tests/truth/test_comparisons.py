"""Whether the verdicts of a comparison hold in worlds of known truth; docs/results has the whole study."""

import math
from dataclasses import replace

import pytest

from fastbs.bench.truth.comparisons import MEASURED, SweepWorld, World, judge, markdown, verdicts

ALPHA = 0.05


def at_most(share, of):
    """A count whose true share is `share` exceeds this in one of 700 trials."""
    return share + 3 * math.sqrt(share * (1 - share) / of)


@pytest.mark.parametrize("scatter", ["normal", "t3", "bimodal", "drift"])
@pytest.mark.parametrize("processes", [2, 3, 5])
def test_unchanged_rows_raise_few_alarms_whatever_their_noise(processes, scatter):
    found = judge("", World(processes=processes, scatter=scatter), change=0.0, trials=60, seed=1)
    assert found.alarms.value <= at_most(ALPHA, 60) and found.exit_1.value <= at_most(ALPHA, 60)


@pytest.mark.parametrize(
    "world",
    [
        World(rows=1, processes=3, scatter="bimodal"),
        World(rows=8, processes=3, spread=1.5),
        World(processes=5, shared=0.5),
        replace(MEASURED, processes=5, sessions=1),
        replace(MEASURED, processes=3, session_sd=0.0),
        World(processes=3, sessions=3, session_sd=0.07),
        World(processes=1, sessions=1, session_sd=0.03, calibrated=True),
    ],
)
def test_unchanged_rows_of_other_worlds_do_so_too(world):
    assert judge("", world, change=0.0, trials=80, seed=2).alarms.value <= at_most(ALPHA, 80)


@pytest.mark.parametrize("change", [0.0, -0.5])
def test_one_process_a_side_never_fails_a_gate(change):
    found = judge("", World(processes=1, scatter="t3"), change=change, trials=40, seed=3)
    assert (found.alarms.said, found.exit_1.said) == (0, 0) and set(found.other_rows) | set(found.changed_rows) == {
        "cannot tell"
    }


@pytest.mark.parametrize(("processes", "sd"), [(3, 0.015), (5, 0.03)])
def test_a_slower_row_among_others_is_found(processes, sd):
    found = judge("", World(processes=processes, sd=sd), change=-0.1, trials=40, seed=4, part=0.25)
    assert found.changed_rows["slower"] >= 0.9 and found.exit_1.value == 1
    assert found.alarms.value <= at_most(ALPHA, 40) and found.silent.said == 0


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_a_sweep_that_lost_five_points_is_found_at_five_seeds(correlation):
    found = judge("", SweepWorld(correlation=correlation), change=-0.05, trials=80, seed=5)
    assert found.changed_rows["worse"] >= 0.9 and found.exit_1.value >= 0.95
    still = judge("", SweepWorld(correlation=correlation), change=0.0, trials=80, seed=6)
    assert still.alarms.value <= at_most(ALPHA, 80)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_a_copy_with_five_points_less_fails_and_an_unchanged_one_passes(seeds):
    world = SweepWorld(seeds=seeds, copied=True)
    assert judge("", world, change=-0.05, trials=5, seed=7).exit_1.value == 1
    still = judge("", world, change=0.0, trials=5, seed=7)
    assert still.exit_1.said == 0 and still.other_rows == {"same": 1.0}


def test_a_sweep_of_uneven_rows_raises_few_alarms_and_says_that_it_is_blind():
    world = SweepWorld(seeds=3, sd=0.018, spread=1.5)
    assert judge("", world, change=0.0, trials=80, seed=8).alarms.value <= at_most(ALPHA, 80)
    lost = judge("", world, change=-0.05, trials=40, seed=9)
    assert lost.exit_1.value < 0.5 and lost.silent.value <= 0.1


def test_the_study_is_the_same_each_time_and_has_a_line_for_each_world():
    one, again = (judge("a curve", World(rows=4), change=-0.1, trials=3, seed=10) for _ in "AB")
    assert one == again
    every = [one, judge("a sweep", SweepWorld(seeds=3), change=0.0, trials=2, seed=11)]
    every.append(judge("3 rows, 3 processes, normal", World(rows=3, processes=3), change=0.0, trials=2, seed=12))
    text = markdown(every + [replace(every[2], name=f"3 rows, 3 processes, {s}") for s in ("t3", "bimodal", "drift")])
    assert "| a curve | -10 % | 3 |" in text
    assert {row.verdict for row in verdicts(every)} >= {"slower", "worse", "same", "gate: exit code 1"}
