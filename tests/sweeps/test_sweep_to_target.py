"""Sweeps of runs that end at a target: tuned rates, sizes that leave the race, the noise scale on the way."""

import dataclasses
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from fastbs import worker
from fastbs.config import RunConfig, SweepConfig
from fastbs.data.dataset import Dataset
from fastbs.results.record import Evaluation, Result
from fastbs.results.sweep_folder import SweepFolder
from fastbs.sweeps.local import Local
from fastbs.sweeps.sweep import sweep as run_sweep

TO_TARGET = ("--target", "0.8", "--until-target", "--eval-images", "16", "--epochs", "12", "--threads", "1")


def fastbs(*arguments):
    return subprocess.run([sys.executable, "-m", "fastbs", *map(str, arguments)], capture_output=True, text=True)


def sweep(photos, out, *options):
    done = fastbs("sweep", photos, *TO_TARGET, *options, "--format", "json", "--out", out)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.slow
def test_a_tuned_sweep_searches_every_size_alike_goes_on_where_it_was_cut_off_and_runs_at_the_best(photos, tmp_path):
    options = ("--batch-sizes", "4,16", "--lr-rule", "tuned", "--lr", "0.01", "--seeds", "1")
    summary, said = sweep(photos, tmp_path / "out", *options)
    trials = sorted(path.name for path in (tmp_path / "out" / "tuning").iterdir())
    assert len(trials) == 10 and {name[:5] for name in trials} == {"b0004", "b0016"}
    for search, row, card in zip(summary["tuning"], summary["rows"], summary["cards"], strict=True):
        assert len(search["trials"]) == 5 and search["lr"] == row["lr"] == card["lr"]
        assert [search["batch_size"], card["rule"]] == [row["batch_size"], "tuned"]
    assert "tuning batch 16 at lr 0.04" in said and summary["controls"] == []
    plan = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert plan["resolved"]["lrs"] == [[4, summary["rows"][0]["lr"]], [16, summary["rows"][1]["lr"]]]
    cut_off_while_tuning(tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/tuning/*/run.json")}
    again, said = sweep(photos, tmp_path / "out", *options)
    assert again["tuning"] == summary["tuning"] and "resuming" not in said
    assert {path: path.stat().st_mtime_ns for path in times} == times


def cut_off_while_tuning(out):
    (out / "sweep.json").unlink()
    (out / "summary.json").unlink()
    shutil.rmtree(out / "runs")


SECONDS = {2: 5.5, 4: 12.0, 8: 5.0, 48: 30.0}  # to the target, of runs that are not really made


class Pretending(Local):
    """Trains nothing."""

    def begin(self, folder, task, lane):
        outcome = pretend(task.folder, task.run, task.dataset, task.machine, task.stop_after)
        return SimpleNamespace(poll=lambda: outcome)


def pretend(folder, run, dataset, machine, stop_after):
    """A run whose top1 rises evenly to 1 and holds .8 at the second of its evaluations above it."""
    folder.begin(
        arm=run.arm,
        config=run.config.to_json(),
        dataset=Dataset.from_json(json.loads(dataset.read_text())).describe(),
        machine=machine,
    )
    whole = SECONDS[run.config.batch_size] * 1.25
    for tenth in range(1, 11):
        top1, seconds = tenth / 10, whole * tenth / 10
        zeros = {field.name: 0 for field in dataclasses.fields(Evaluation)}
        folder.append(Evaluation(**zeros | {"images": tenth, "train_seconds": seconds, "top1": top1}))
        if stop_after is not None and seconds > stop_after and tenth < 9:
            folder.finish("stopped", "dominated: in time", None)
            return worker.Outcome("ok", None, "stopped", seconds)
    fields = {field.name: 1 for field in dataclasses.fields(Result)} | {"energy_source": None}
    folder.finish("ok", None, Result(**fields))
    return worker.Outcome("ok", None, "ok", whole)


def test_a_size_that_cannot_win_is_stopped_recorded_and_neither_a_hit_nor_a_miss(photos, tmp_path):
    run = RunConfig(data=str(photos), target=0.8, until_target=True)
    config = SweepConfig(run=run, batch_sizes=(2, 4, 8, 48), seeds=3, stop_dominated=True)
    summary = run_sweep(config, tmp_path / "out", executor=Pretending())
    records = {(run.batch_size, run.seed): run for run in SweepFolder(tmp_path / "out").records()}
    ends = {size: [records[size, seed].status for seed in range(3)] for size in SECONDS}
    assert ends == {2: ["ok"] * 3, 4: ["stopped"] * 3, 8: ["ok"] * 3, 48: ["stopped"] * 3}
    assert records[48, 0].reason == "dominated: in time" and len(records[48, 0].evaluations) == 3
    assert records[48, 1].reason == "dominated by batch 8 in the runs before" and not records[48, 1].evaluations
    row = summary["rows"][-1]
    assert row["status_counts"] == {"stopped": 3} and row["targets_reached"] == 0 and row["time_to_target_s"] is None
    order = [run["config"]["batch_size"] for run in json.loads((tmp_path / "out" / "sweep.json").read_text())["runs"]]
    assert sorted(order[:2]) == [4, 8] and sorted(order[2:4]) == [2, 48]  # from the middle outwards


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--stop-dominated",), "stop-dominated: needs runs to a target"),
        (("--lrs", "2:0.1"), "lrs: give one rate for each of the batch sizes 1, 2, 4, 8"),
        (("--lrs", "2"), "write 1:1e-3,8:4e-3"),
        (("--lr-rule", "beta2-halflife"), "beta2-halflife is a rule for AdamW"),
        (("--micro-batch", "2", "--batch-sizes", "1,2,3"), "micro-batch: 2 does not divide the batch size 3"),
    ],
)
def test_what_cannot_be_is_one_line(photos, tmp_path, options, said):
    done = fastbs("sweep", photos, *options, "--out", tmp_path / "out")
    assert done.returncode == 2 and said in done.stderr and not (tmp_path / "out").exists()
