"""The same trainings at equal images, updates and seconds, and over a grid of targets."""

import dataclasses

import pytest

from fastbs.analysis.cuts import accuracy_at_cuts, times_over_targets
from fastbs.analysis.evidence import Evidence
from fastbs.config import RunConfig, SweepConfig
from fastbs.results.record import Evaluation, RunRecord

ZEROS = {field.name: 0 for field in dataclasses.fields(Evaluation)}


def run(size, seed, tops, seconds_per_update=0.01, updates=100, status="ok"):
    """An evaluation every `updates` updates; a second for every hundred of them at first."""
    evaluations = tuple(
        Evaluation(
            **ZEROS
            | {
                "images": size * updates * n,
                "updates": updates * n,
                "train_seconds": seconds_per_update * updates * n,
                "top1": top1,
            }
        )
        for n, top1 in enumerate(tops, 1)
    )
    return RunRecord(id="r", arm="main", batch_size=size, seed=seed, lr=0.1, status=status, evaluations=evaluations)


def evidence(*runs, **settings):
    sizes = tuple(sorted({run.batch_size for run in runs}))
    config = SweepConfig(run=RunConfig(data="photos", hold=1, **settings), batch_sizes=sizes, seeds=2)
    planned = [(run.arm, run.batch_size, run.seed) for run in runs]
    return Evidence(config, {"train": 800, "validation": 100}, runs, planned)


def test_each_cut_is_where_all_runs_stood_and_reads_between_evaluations():
    small = [run(1, seed, (0.2, 0.4, 0.6, 0.8)) for seed in (0, 1)]  # 400 images, 400 updates, 4 s
    large = [run(8, seed, (0.1, 0.3), seconds_per_update=0.03) for seed in (0, 1)]  # 1600 images, 200 updates, 6 s
    images, updates, seconds = accuracy_at_cuts(evidence(*small, *large))
    assert (images["cut"], images["at"], images["batch_sizes"]) == ("images", 400, [1, 8])
    assert images["top1"] == [pytest.approx(0.8), None]  # the large one was first looked at after 800 images
    assert (updates["at"], updates["top1"]) == (200, pytest.approx([0.4, 0.3]))
    assert (seconds["at"], seconds["top1"]) == (4.0, pytest.approx([0.8, 0.1 + 0.2 / 3]))


def test_a_cut_is_the_mean_over_seeds_and_the_shortest_run_sets_it():
    uneven = [run(1, 0, (0.2, 0.4)), run(1, 1, (0.4, 0.8, 0.9)), run(8, 0, (0.5, 0.6))]
    updates = accuracy_at_cuts(evidence(*uneven))[1]
    assert (updates["at"], updates["top1"]) == (200, pytest.approx([0.6, 0.6]))


def test_one_size_or_none_that_is_ok_has_nothing_to_compare_with():
    assert accuracy_at_cuts(evidence(run(1, 0, (0.5,)))) == []
    assert accuracy_at_cuts(evidence(run(1, 0, (0.5,)), run(8, 0, (0.5,), status="diverged"))) == []


def test_the_fastest_size_may_differ_from_target_to_target():
    """Batch 8 is there first and stays low; batch 1 is slow and ends higher."""
    runs = [run(1, s, (0.1, 0.2, 0.4, 0.8), 0.03) for s in (0, 1)] + [run(8, s, (0.6, 0.62, 0.64)) for s in (0, 1)]
    grid = {one["target"]: one for one in times_over_targets(evidence(*runs))}
    assert [grid[target]["fastest"] for target in (0.5, 0.6, 0.65, 0.7, 0.8)] == [8, 8, 1, 1, 1]
    assert grid[0.8]["seconds"] == [pytest.approx(12.0), None] and max(grid) == 0.8
    assert len(grid) == 8 and min(grid) == 0.45


def test_a_target_that_most_runs_miss_has_no_time():
    runs = [run(1, 0, (0.2, 0.9)), run(1, 1, (0.2, 0.5)), run(1, 2, (0.2, 0.5))]
    assert max(one["target"] for one in times_over_targets(evidence(*runs))) == 0.5


def test_the_grid_goes_no_higher_than_a_target_that_runs_ended_at():
    """Batch 8 is looked at less often and overshoots; that is no reason to call it the fastest to .85."""
    runs = [run(1, s, (0.5, 0.81)) for s in (0, 1)] + [run(8, s, (0.5, 0.87), 0.02) for s in (0, 1)]
    assert max(one["target"] for one in times_over_targets(evidence(*runs, target=0.8))) == 0.85
    ended = times_over_targets(evidence(*runs, target=0.8, until_target=True))
    assert max(one["target"] for one in ended) == 0.8 and {one["fastest"] for one in ended} == {1}


def test_runs_that_missed_their_target_count_in_cuts_and_grid():
    runs = [run(1, 0, (0.5, 0.9)), run(1, 1, (0.5, 0.5, 0.5), status="missed")]
    runs += [run(8, s, (0.3, 0.6, 0.6), status="missed") for s in (0, 1)]
    found = evidence(*runs, target=0.8, until_target=True)
    updates = accuracy_at_cuts(found)[1]
    assert (updates["batch_sizes"], updates["at"], updates["top1"]) == ([1, 8], 200, pytest.approx([0.7, 0.6]))


def test_runs_that_all_missed_their_target_may_have_reached_lower_ones():
    runs = [run(size, s, (0.3, 0.6, 0.6), status="missed") for size in (1, 8) for s in (0, 1)]
    grid = times_over_targets(evidence(*runs, target=0.8, until_target=True))
    assert grid[-1] == {"target": 0.6, "seconds": pytest.approx([2.0, 2.0]), "fastest": 1}
