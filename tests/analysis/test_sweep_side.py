import math
from dataclasses import replace

import pytest

from fastbs.analysis.comparison.records import Start
from fastbs.analysis.comparison.sides import make_side
from fastbs.errors import BadInput
from fastbs.results.measurement_files import MeasurementFile
from fastbs.results.record import Evaluation, Result, RunRecord

CONFIG = {
    "model": "small",
    "precision": "bf16",
    "loader": "dali",
    "step": "eager",
    "data": "photos",
    "batch_size": 32,
    "seed": 0,
    "lr": 0.1,
    "epochs": 2.0,
    "norm": None,
    "updates": None,
}
CONFIG |= {"optimizer": "sgd", "device": "cpu", "threads": 2, "target": 0.75, "hold": 1, "init": None}


def run(size, seed, tops=(0.5, 0.8), status="ok", arm="main", seconds=0.01):
    values = dict.fromkeys(("images", "updates", "skipped_updates", "parameters", "peak_memory_bytes"), 1)
    values |= dict.fromkeys(("train_seconds", "wall_seconds", "startup_seconds", "eval_seconds"), 1.0)
    values |= dict.fromkeys(("checkpoint_seconds", "input_wait_seconds"), 0.0)
    values |= dict.fromkeys(("update_seconds", "minor_faults_per_image", "energy_joules", "energy_source"))
    zeros = dict.fromkeys(("train_loss", "train_top1", "loss", "balanced_top1", "lr", "wall_seconds"), 0.0)
    ended = status in ("ok", "missed", "diverged")
    return RunRecord(
        id=f"{arm}-b{size}-s{seed}",
        arm=arm,
        batch_size=size,
        seed=seed,
        lr=0.1,
        status=status,
        reason=None if status == "ok" else f"because of {seed}",
        result=Result(**values | {"step_seconds": seconds}) if ended else None,
        evaluations=tuple(
            Evaluation(images=8, updates=1, train_seconds=float(k + 1), top1=top1, **zeros)
            for k, top1 in enumerate(tops)
        )
        if ended
        else (),
    )


def sweep(name, *runs, config=CONFIG, **more):
    plan = {"resolved": {"run": config, "lr_rule": "constant", "lr_at": None}, "norm": "group", "machine": {}}
    plan |= {"dataset": {"name": "photos", "fingerprint": "f08d"}, "runs": [{"id": run.id} for run in runs]}
    return MeasurementFile(name, "sweep", plan | more, runs)


def test_a_sweep_has_a_row_for_each_arm_and_size_and_a_value_for_each_seed():
    runs = [run(8, 1, (0.5, 0.6), "missed"), run(8, 0, seconds=0.02), run(8, 0, arm="scaled-lr"), run(1, 0)]
    side = make_side([sweep("s", *runs)])
    rows = {(dict(record.key)["arm"], record.batch_size): record for record in side.records}
    assert set(rows) == {("main", 8), ("scaled-lr", 8), ("main", 1)}
    samples = rows["main", 8].samples
    assert samples["images_per_second"].values == (400, 800)
    assert samples["top1"].values == (0.8, 0.6)
    assert samples["time_to_target_s"].values == (pytest.approx(1 + 5 / 6), math.inf)
    assert rows["main", 8].status == "ok"
    assert [name for name, _ in rows["main", 8].key][-1] == "batch_size"


def test_values_carry_their_seeds_and_accuracies_the_size_of_one_image():
    data = {"name": "photos", "fingerprint": "f08d", "validation": 400}
    samples = make_side([sweep("s", run(8, 3), run(8, 1), dataset=data)]).records[0].samples
    assert {sample.labels for sample in samples.values()} == {(1, 3)}
    assert (samples["top1"].resolution, samples["images_per_second"].resolution) == (1 / 400, 0)
    assert make_side([sweep("s", run(8, 3))]).records[0].samples["top1"].resolution == 0


def test_a_sweep_lasts_from_its_first_run_to_its_last_where_all_say_when_they_began():
    begun = [replace(run(8, seed), started_at=at) for seed, at in ((0, 50.0), (1, 10.0), (2, 4000.0))]
    assert make_side([sweep("s", *begun)]).starts == (Start(10.0, 4000.0, None),)
    assert make_side([sweep("s", *begun, run(8, 4))]).starts == (None,)


def test_a_stopped_run_says_nothing_and_a_diverged_one_missed():
    rows = make_side([sweep("s", run(8, 0, (0.9,), "diverged"), run(8, 1), run(8, 2, status="stopped"))]).records
    assert (rows[0].status, rows[0].reason) == ("diverged", "because of 0")
    assert rows[0].samples["time_to_target_s"].values == (math.inf, pytest.approx(1 + 5 / 6))
    assert rows[0].samples["top1"].values == (0.8,)
    rows = make_side([sweep("s", run(8, 0), run(8, 2, status="stopped"), run(1, 0, status="stopped"))]).records
    assert [row.status for row in rows] == ["ok", "stopped"]


def test_a_run_that_diverged_before_it_was_looked_at_missed_the_target():
    rows = make_side([sweep("s", run(8, 0), run(8, 1, (), "diverged"))]).records
    assert rows[0].samples["time_to_target_s"].values == (pytest.approx(1 + 5 / 6), math.inf)


def test_runs_that_end_at_their_target_are_not_compared_by_accuracy():
    side = make_side([sweep("s", run(8, 0), config=CONFIG | {"until_target": True})])
    assert set(side.records[0].samples) == {"images_per_second", "time_to_target_s"}


def test_a_sweep_without_target_times_none():
    side = make_side([sweep("s", run(8, 0), config=CONFIG | {"target": None})])
    assert set(side.records[0].samples) == {"images_per_second", "top1"}
    assert side.workload["target"] == "unset"


def test_the_workload_of_a_sweep_is_its_configuration_without_what_names_its_rows():
    workload = make_side([sweep("s", run(8, 0))]).workload
    assert not {"model", "precision", "loader", "step", "batch_size", "seed", "data"} & set(workload)
    assert workload["norm"] == "group" and workload["dataset"] == "f08d" and workload["target"] == 0.75
    assert (workload["epochs"], workload["updates"], workload["lr_rule"]) == (2.0, "unset", "constant")


@pytest.mark.parametrize(
    ("damaged", "key"),
    [(run(8, 0, seconds=-0.1), "step_seconds"), (run(8, 0, (7.0,)), "top1"), (run(0, 0), "batch_size")],
)
def test_a_run_with_an_impossible_number_is_refused_by_name(damaged, key):
    with pytest.raises(BadInput, match=rf"^s: {damaged.id}: {key}: "):
        make_side([sweep("s", damaged)])
