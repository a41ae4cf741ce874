"""What advice on new images is made from: which sizes, which pilot, and that nothing is made twice."""

import json

import pytest

from fastbs.config import RunConfig, SweepConfig
from fastbs.errors import BadInput
from fastbs.results.sweep_folder import SweepFolder
from fastbs.sweeps import pilot
from fastbs.sweeps.pilot import make_pilot, pilot_size, usual_sizes


def row(size, speed, status="ok"):
    return {"batch_size": size, "status": status, "reason": None, "images_per_second": speed}


@pytest.mark.parametrize(
    ("train_images", "sizes"),
    [(40, (1, 2, 4, 8)), (1659, (1, 2, 4, 8, 16, 32, 64)), (50_000, tuple(2**k for k in range(11)))],
)
def test_sizes_leave_twenty_updates_in_an_epoch(train_images, sizes):
    assert usual_sizes(train_images) == sizes


def test_the_pilot_runs_at_the_smallest_size_with_three_quarters_of_the_best_speed():
    rows = [row(1, 100), row(8, 800), row(32, 1600), row(64, 1610), row(128, None, "oom")]
    assert pilot_size({"rows": rows}) == 32
    assert pilot_size({"rows": [row(8, 5.0)]}) == 8
    with pytest.raises(BadInput, match="none ran .oom"):
        pilot_size({"rows": [row(8, None, "oom")]})


@pytest.fixture
def timed(monkeypatch):
    """Step times that are not really measured; counts how often they were asked for."""
    asked = []

    def measure(cells, plan, setting):
        asked.append(plan.batch_sizes)
        return {"kind": "bench", "rows": [row(size, 10.0 * size / (2 + size)) for size in plan.batch_sizes]}

    monkeypatch.setattr(pilot, "measure", measure)
    return asked


def config(photos, **run):
    settings = {"target": 0.8, "eval_images": 16, "threads": 1, "epochs": 12, "precision": "fp32"} | run
    return SweepConfig(run=RunConfig(data=str(photos), **settings), lr_rule="linear", lr_at=8)


@pytest.mark.slow
def test_a_pilot_is_a_bench_and_a_sweep_of_one_run_that_draws_its_noise_and_is_not_made_twice(photos, tmp_path, timed):
    said = []
    folder, bench = make_pilot(config(photos), (2, 8), 600, tmp_path / "out", said.append)
    [record] = SweepFolder(folder).records()
    assert (record.batch_size, record.seed, record.status) == (8, 0, "ok") and record.noise
    assert [one["batch_size"] for one in json.loads(bench.read_text())["fastbs"]["rows"]] == [2, 8]
    assert "pilot at batch 8" in " ".join(said)
    times = {path: path.stat().st_mtime_ns for path in (bench, folder / "sweep.json")}
    assert make_pilot(config(photos), (2, 8), 600, tmp_path / "out", said.append) == [folder, bench]
    assert timed == [(2, 8)] and {path: path.stat().st_mtime_ns for path in times} == times
    with pytest.raises(BadInput, match="step times of another experiment; choose another --pilot"):
        make_pilot(config(photos), (2, 4), 600, tmp_path / "out", said.append)


def test_a_budget_that_is_over_and_a_pilot_without_target_are_refused(photos, tmp_path, timed):
    with pytest.raises(BadInput, match="budget: 1e-09 s; timing 2 sizes alone takes"):
        make_pilot(config(photos), (2, 8), 1e-9, tmp_path / "out", print)
    with pytest.raises(BadInput, match="target: a pilot trains to a target"):
        make_pilot(config(photos, target=None), (2, 8), 600, tmp_path / "other", print)
