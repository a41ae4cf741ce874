"""Runs that shared their node count for accuracy and for nothing that is measured in seconds."""

import dataclasses

from fastbs.analysis.caveats import caveats
from fastbs.analysis.cuts import accuracy_at_cuts
from fastbs.analysis.evidence import Evidence
from fastbs.analysis.rows import make_row
from fastbs.analysis.sweep_fit import fit_sweep
from fastbs.config import RunConfig, SweepConfig
from fastbs.results.record import Evaluation, Result, RunRecord

ZEROS = {field.name: 0 for field in dataclasses.fields(Evaluation)}
NOTHING = {field.name: 0 for field in dataclasses.fields(Result)}
DATASET = {"name": "photos", "train": 80, "validation": 400, "test": None, "imbalance": 1.0}
TIMES = (
    "step_ms", "images_per_second", "train_seconds", "wall_seconds", "time_to_target_s", "energy_joules",
    "time_to_target_wall_s", "update_share", "input_wait_share", "expected_time_to_target_s",
)  # fmt: skip


def run(size, seed, seconds, shared):
    top1 = 0.7 + seed / 100
    evaluations = tuple(
        Evaluation(
            **ZEROS
            | {
                "images": 40 * n,
                "updates": 40 * n // size,
                "train_seconds": seconds * n / 2,
                "wall_seconds": seconds * n,
                "top1": top1,
            }
        )
        for n in (1, 2)
    )
    result = Result(
        **NOTHING
        | {
            "updates": 80 // size, "images": 80, "train_seconds": seconds, "wall_seconds": 2 * seconds,
            "step_seconds": seconds * size / 80, "update_seconds": seconds * size / 800, "energy_joules": seconds,
            "input_wait_seconds": seconds / 2, "peak_memory_bytes": 1000 + seed,
        }
    )  # fmt: skip
    return RunRecord(
        id="r", arm="main", batch_size=size, seed=seed, lr=0.1, status="ok", result=result, evaluations=evaluations,
        shared=shared,
    )  # fmt: skip


def evidence(*runs):
    config = SweepConfig(run=RunConfig(data="photos", epochs=1, target=0.6), batch_sizes=(2, 8, 16), seeds=3)
    return Evidence(config, DATASET, runs, [("main", r.batch_size, r.seed) for r in runs])


def swept(slow, shared):
    """Three sizes, three seeds; those after the first took `slow` times as long."""
    return evidence(
        *(run(size, s, (slow if s else 1) * (4 + 8 / size), shared and s > 0) for size in (2, 8, 16) for s in range(3))
    )


def test_times_are_those_of_the_runs_that_were_alone_and_accuracies_those_of_all():
    alone, beside = swept(1, shared=False), swept(7, shared=True)
    for setting in alone.sizes:
        here, there = make_row(beside, setting), make_row(alone, setting)
        for key in TIMES:
            assert abs(here[key] - there[key]) < 1e-9 * there[key], key
        for key in ("n", "top1_mean", "top1_sd", "targets_reached", "runs_to_target", "images_to_target", "updates",
                    "success_interval", "peak_memory_bytes", "status_counts"):  # fmt: skip
            assert here[key] == there[key], key
    assert abs(fit_sweep(beside).beta - fit_sweep(alone).beta) < 1e-9


def test_where_all_shared_there_is_no_time_and_the_table_says_so():
    runs = [dataclasses.replace(run, shared=True) for run in swept(1, shared=False).runs]
    all_shared = evidence(*runs)
    for setting in all_shared.sizes:
        row = make_row(all_shared, setting)
        assert [row[key] for key in TIMES] == [None] * len(TIMES)
        assert row["top1_mean"] and row["targets_reached"] == 3
    assert fit_sweep(all_shared) == "no ok run had its node to itself"
    assert [cut["cut"] for cut in accuracy_at_cuts(all_shared)] == ["images", "updates"]
    assert "9 of 9 ok runs shared their node with others and count for accuracy alone: no time is given." in caveats(
        all_shared
    )


def test_a_table_of_both_says_how_many_gave_the_times():
    said = " ".join(caveats(swept(7, shared=True)))
    assert (
        "6 of 9 ok runs shared their node with others and count for accuracy alone: times are those of the other 3."
        in said
    )
    assert "shared" not in " ".join(caveats(swept(7, shared=False)))
