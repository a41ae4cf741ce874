"""Several runs at a time on one machine: accuracies as ever, times from those that were alone."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.config import RunConfig, SweepConfig
from fastbs.errors import BadInput
from fastbs.results.run_folder import RunFolder
from fastbs.sweeps import schedule
from fastbs.sweeps.executor import NoRoom
from fastbs.sweeps.local import Local
from fastbs.sweeps.plan import make_plan
from fastbs.sweeps.tune import tune
from fastbs.worker import Outcome, interruption


def machine(cards=0):
    return {"gpu": {"devices": [{"name": "H200"}] * cards}}


def config(**settings):
    run = {key: settings.pop(key) for key in ("target", "until_target", "seconds", "device") if key in settings}
    return SweepConfig(run=RunConfig(data="photos", **run), batch_sizes=(2, 4, 8), **settings)


class Folder:
    """A sweep's folder in which no run has ended."""

    path = dataset = Path("nowhere")

    def run(self, name):
        return RunFolder(Path("nowhere") / name)

    trial = run


class Pretending(Local):
    """Starts nothing; a run takes as many looks as it was given, and what was under way beside it is written down."""

    def __init__(self, workers, looks):
        super().__init__(workers)
        self.looks, self.under_way, self.together, self.lanes, self.order = itertools.cycle(looks), set(), [], [], []

    def begin(self, folder, task, lane):
        self.under_way.add(task.run)
        self.order.append(task.run)
        self.lanes.append(lane)
        self.together.append((frozenset(self.under_way), {run: self.shares(run) for run in self.under_way}))
        return Pretended(self, task.run, next(self.looks))


class Pretended:
    def __init__(self, executor, run, looks):
        self.executor, self.run, self.looks = executor, run, looks

    def poll(self):
        self.looks -= 1
        if self.looks > 0:
            return None
        self.executor.under_way.discard(self.run)
        return Outcome("ok", None, "ok", 1.0)

    def abandon(self):
        raise AssertionError("a run was left behind")


def test_a_sweep_that_is_asked_to_leave_before_its_runs_begins_none(monkeypatch):
    monkeypatch.setattr(interruption, "asked", lambda: True)
    executor, asked = Pretending(1, [1]), config(lr_rule="tuned")
    with pytest.raises(KeyboardInterrupt):
        tune(Folder(), asked, machine(), executor, lambda text: None)
    with pytest.raises(KeyboardInterrupt):
        schedule.run_all(Folder(), make_plan(config(), 100), machine(), executor, lambda text: None, race=None)
    assert not executor.order


@given(st.integers(1, 5), st.lists(st.integers(1, 6), min_size=1, max_size=8), st.integers(1, 4))
def test_every_run_is_made_once_in_order_and_a_timed_one_is_never_beside_another(workers, looks, seeds):
    patch = pytest.MonkeyPatch()
    patch.setattr(schedule, "PAUSE", 0)
    executor = Pretending(workers, looks)
    runs = make_plan(config(seeds=seeds), 100)
    executor.prepare(config(seeds=seeds, device="cuda"), machine(99))
    schedule.run_all(Folder(), runs, {}, executor, lambda text: None, race=None)
    patch.undo()
    assert executor.order == runs
    for together, shares in executor.together:
        assert len(together) <= workers
        assert len(together) == 1 or all(shares.values())
    assert all(lane < workers for lane in executor.lanes)
    timed = {run.config.seed for run in runs if not executor.shares(run)}
    assert timed == (set(range(seeds)) if workers == 1 else {0})


class Small(Pretending):
    """Takes no more than `places` runs, whatever it said of its room."""

    def __init__(self, places, looks):
        super().__init__(99, looks)
        self.places, self.refused = places, 0

    def begin(self, folder, task, lane):
        if len(self.under_way) >= self.places:
            self.refused += 1
            raise NoRoom("the job limit of the user is reached")
        return super().begin(folder, task, lane)


@given(st.integers(1, 3), st.lists(st.integers(1, 6), min_size=1, max_size=8))
def test_what_is_not_taken_waits_until_another_has_ended(places, looks):
    patch = pytest.MonkeyPatch()
    patch.setattr(schedule, "PAUSE", 0)
    executor, said = Small(places, looks), []
    runs = make_plan(config(seeds=3), 100)
    executor.prepare(config(seeds=3, device="cuda"), machine(99))
    schedule.run_all(Folder(), runs, {}, executor, said.append, race=None)
    patch.undo()
    assert executor.order == runs
    assert executor.refused == sum("the job limit of the user is reached" in line for line in said) <= len(runs)


def test_what_is_not_taken_though_nothing_is_under_way_ends_the_sweep():
    with pytest.raises(NoRoom, match="the job limit"):
        schedule.run_all(Folder(), make_plan(config(), 100), {}, Small(0, [1]), lambda text: None, race=None)


def test_each_worker_has_a_card_of_its_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-5e6f,7")
    local = Local()
    assert local.prepare(config(device="cuda"), machine(3)).startswith("3 runs at a time")
    assert [local._lanes[lane]["CUDA_VISIBLE_DEVICES"] for lane in range(3)] == ["3", "GPU-5e6f", "7"]
    with pytest.raises(BadInput, match="workers: 4 runs at a time need a GPU each, and 3 are visible"):
        Local(4).prepare(config(device="cuda"), machine(3))


@pytest.mark.parametrize("about_time", [{"seconds": 9.0}, {"target": 0.8, "until_target": True}])
def test_a_sweep_about_time_takes_one_card_unless_it_is_told(about_time):
    local = Local()
    assert local.prepare(config(device="cuda", **about_time), machine(8)) == ""
    assert not any(map(local.shares, make_plan(config(), 100)))


@pytest.mark.parametrize(
    "settings", [{"seconds": 9.0}, {"target": 0.8, "until_target": True, "stop_dominated": True, "controls": False}]
)
def test_what_times_decide_is_refused_to_workers(settings):
    with pytest.raises(BadInput, match="workers: 2 at a time: times decide"):
        Local(2).prepare(config(**settings), machine())


@pytest.mark.slow
def test_two_workers_find_what_one_finds_and_give_the_times_of_the_first_seed(photos, tmp_path):
    def sweep(*options):
        settings = (
            "--batch-sizes",
            "4,16",
            "--epochs",
            "2",
            "--seeds",
            "2",
            "--loader",
            "resident",
            "--threads",
            "1",
            "--no-controls",
        )
        command = [sys.executable, "-m", "fastbs", "sweep", photos, *settings, "--format", "json", *options]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    one, two = sweep("--out", tmp_path / "one"), sweep("--workers", 2, "--out", tmp_path / "two")
    for mine, other in zip(two["rows"], one["rows"], strict=True):
        for key in ("batch_size", "status_counts", "n", "updates", "train_top1_mean", "top1_mean", "top1_sd"):
            assert mine[key] == other[key], key
        assert mine["step_ms"] > 0 and mine["step_ms_interval"] is None and other["step_ms_interval"]
    assert "2 of 4 ok runs shared their node with others and count for accuracy alone" in " ".join(two["caveats"])
    shared = {path.parent.name: json.loads(path.read_text())["shared"] for path in tmp_path.glob("two/runs/*/run.json")}
    assert shared == {"b0004-s0": False, "b0016-s0": False, "b0004-s1": True, "b0016-s1": True}
