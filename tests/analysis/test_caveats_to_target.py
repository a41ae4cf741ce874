"""What a table of times to a target must be read with."""

import dataclasses

import pytest

from fastbs.analysis.caveats import caveats
from fastbs.analysis.evidence import Evidence
from fastbs.config import RunConfig, SweepConfig
from fastbs.results.record import Evaluation, RunRecord

ZEROS = {field.name: 0 for field in dataclasses.fields(Evaluation)}
DATASET = {"name": "photos", "train": 800, "validation": 400, "test": None, "imbalance": 1.0}


def run(size, seed, seconds, stretch):
    """A run that crosses .75 in the middle of a stretch between two evaluations."""
    times = (max(0.0, seconds - stretch / 2), seconds + stretch / 2, seconds + 1.5 * stretch)
    evaluations = tuple(
        Evaluation(**ZEROS | {"images": 10 * n, "updates": n, "train_seconds": time, "top1": top1})
        for n, (time, top1) in enumerate(zip(times, (0.7, 0.8, 0.8), strict=True), 1)
    )
    return RunRecord(id="r", arm="main", batch_size=size, seed=seed, lr=0.1, status="ok", evaluations=evaluations)


def said(times, stretch=0.1, rule="linear", missing=(), **settings):
    """The caveats of runs with these seconds to the target, by batch size; those `missing` never looked again."""
    runs = [run(size, seed, each, stretch) for size, own in times.items() for seed, each in enumerate(own)]
    runs = [
        dataclasses.replace(one, evaluations=one.evaluations[:2]) if (one.batch_size, one.seed) in missing else one
        for one in runs
    ]
    config = SweepConfig(
        run=RunConfig(data="photos", target=0.75, **settings),
        batch_sizes=tuple(times),
        seeds=len(next(iter(times.values()))),
        lr_rule=rule,
    )
    return " ".join(caveats(Evidence(config, DATASET, runs, [("main", r.batch_size, r.seed) for r in runs])))


def test_a_stretch_between_evaluations_that_hides_the_difference_is_told():
    times = {8: [10.0, 10.1, 9.9], 32: [10.5, 10.6, 10.4]}
    assert "Evaluations are 2 s of training apart, batch 8 and 32 reach the target within 0.5 s" in said(
        times, stretch=2
    )
    assert "apart" not in said(times, stretch=0.5)


def test_which_of_the_two_fastest_is_the_first_is_open_where_it_is_not_proven():
    close = {8: [10.0, 11.0, 9.0], 32: [10.5, 10.9, 9.9], 128: [99.0, 99.0, 99.0]}
    assert "Which of batch 8 or 32 is first to .75 is open." in said(close)
    assert "is open" not in said({8: [10.0, 11.0, 9.0, 10.0], 32: [20.0, 22.0, 18.0, 20.0]})


def test_runs_that_were_lucky_do_not_count_alone():
    times = {8: [10.0, 11.0, 9.0, 10.0], 32: [10.5, 10.9, 9.9, 10.5]}
    assert "is open" in said(times) and "is open" not in said(times, missing={(32, 3)})


@pytest.mark.parametrize(("rule", "warned"), [("constant", True), ("linear", False), ("tuned", False)])
def test_one_rate_for_all_sizes_is_warned_of_where_times_to_a_target_are_compared(rule, warned):
    assert ("compare size and rate in one" in said({8: [10.0], 32: [20.0]}, rule=rule)) == warned


def test_accumulated_gradients_are_told():
    assert "over passes of 8 at batch 32: no gain" in said({8: [10.0], 32: [20.0]}, micro_batch=8)
    assert "accumulate" not in said({8: [10.0], 32: [20.0]})
