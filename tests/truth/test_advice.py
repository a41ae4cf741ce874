"""What `fastbs advise` prints, judged in simulated sweeps of known truth: a fast part of the whole study.

Bounds leave three Monte-Carlo errors of so few sweeps; docs/results/2026-12-01-advice-judged.md has the whole.
"""

import functools

import pytest

from fastbs.bench.truth.advice import World, calibration, floor, judge, render, verdict

SWEEPS = 12
WORLDS = (
    World("line", spread=0.15),
    World("correlated", spread=0.15, correlation=0.6),
    World("floor", floor(180), 400, (4, 16, 64, 256, 1024)),
    World("tuned", curvature=0.25, spread=0.15),
    World("tight budget", spread=0.15, budget=1.5),
)


@functools.cache
def outcomes(world):
    return judge(world, SWEEPS)


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_the_recommended_size_costs_little_more_than_the_fastest(world):
    found = verdict(outcomes(world))
    assert found.refused == 0
    assert found.median_regret <= 0.02 and found.p95_regret <= 0.1


def test_times_are_covered_and_what_is_called_certain_is_right():
    every = [one for world in WORLDS for one in outcomes(world)]
    found = verdict(every)
    assert found.time_coverage >= 0.95 - 3 * 0.028
    for _, _, count, stated, right in calibration(every):
        assert right >= stated - 0.05 - 3 * (0.25 / count) ** 0.5


def test_the_study_renders_a_row_for_each_world_and_the_calibration():
    text = render({world.name: outcomes(world) for world in WORLDS[:2]})
    assert text.count("| line |") == 1 and "| certainty | sweeps | said | right |" in text and "±" in text
