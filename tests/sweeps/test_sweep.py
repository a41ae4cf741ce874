"""A small sweep from the command line to its table."""

import csv
import io
import json
import shutil
import subprocess
import sys
import tarfile
from types import SimpleNamespace

import pytest

ROW_KEYS = [
    "batch_size", "status", "status_counts", "n", "lr", "updates", "images_per_second", "step_ms", "update_share",
    "train_seconds", "wall_seconds", "time_ratio", "train_top1_mean", "top1_mean", "top1_sd", "time_to_target_s",
    "targets_reached", "peak_memory_bytes", "energy_joules",
]  # fmt: skip
QUICK = ("--batch-sizes", "2,4,16", "--epochs", "4", "--seeds", "2", "--threads", "1", "--target", "0.7")


def fastbs(*arguments):
    return subprocess.run([sys.executable, "-m", "fastbs", *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def swept(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep") / "out"
    done = fastbs("sweep", photos, *QUICK, "--format", "json", "--out", out)
    assert done.returncode == 0, done.stderr
    return out, done


@pytest.mark.slow
def test_stdout_is_one_document_byte_for_byte_the_summary_on_disk(swept):
    out, done = swept
    assert done.stdout == (out / "summary.json").read_text()
    document = json.loads(done.stdout)
    assert list(document)[:8] == ["schema", "kind", "dataset", "machine", "rows", "controls", "fit", "findings"]
    assert (document["schema"], document["kind"]) == (1, "sweep")


def test_rows_have_the_documented_keys_and_plausible_values(swept):
    document = json.loads(swept[1].stdout)
    assert [row["batch_size"] for row in document["rows"]] == [2, 4, 16]
    for row in document["rows"]:
        assert list(row)[: len(ROW_KEYS)] == ROW_KEYS
        assert row["status"] == "ok" and row["status_counts"] == {"ok": 2} and row["n"] == 2
        assert row["updates"] == 4 * (60 // row["batch_size"])
        assert row["images_per_second"] == pytest.approx(row["batch_size"] / row["step_ms"] * 1e3, rel=0.2)
        assert 0 < row["update_share"] < 1 and row["train_seconds"] < row["wall_seconds"]
    assert document["rows"][0]["time_ratio"] == 1
    assert document["rows"][0]["top1_mean"] > 0.9
    assert {(row["arm"], row["batch_size"], row["updates"]) for row in document["controls"]} == {
        ("same-updates", 16, 120),
        ("root-lr", 16, 12),
        ("scaled-lr", 16, 12),
    }
    assert {"alpha_ms", "beta_ms", "b_half", "max_residual"} <= set(document["fit"])
    assert [list(finding)[:4] for finding in document["findings"]] == [["claim", "verdict", "text", "numbers"]] * 4


def test_show_prints_the_same_again_in_every_format(swept):
    out, done = swept
    assert fastbs("show", out, "--format", "json").stdout == done.stdout
    table, markdown = fastbs("show", out).stdout, fastbs("show", out, "--format", "markdown").stdout
    for text in (table, markdown):
        assert "2 ok" in text and "Claims of the post" in text and "120 updates" in text
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(lines) == 5 and len({line.count("|") for line in lines}) == 1
    rows = list(csv.DictReader(io.StringIO(fastbs("show", out, "--format", "csv").stdout)))
    assert [row["batch_size"] for row in rows] == ["2", "4", "16", "16", "16", "16"]


def test_the_same_command_again_trains_nothing(photos, swept):
    out, done = swept
    before = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/*")}
    again = fastbs("sweep", photos, *QUICK, "--format", "json", "--out", out)
    assert again.stdout == done.stdout
    assert "12 of 12 runs are finished" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in out.glob("runs/*/*")} == before


def test_the_images_may_not_change_under_a_sweep(photos, swept, tmp_path):

    from PIL import Image

    out = shutil.copytree(swept[0], tmp_path / "out")
    other = shutil.copytree(photos, tmp_path / "photos")
    Image.new("RGB", (16, 16)).save(other / "bars" / "one-more.png")
    done = fastbs("sweep", other, *QUICK, "--out", out)
    assert done.returncode == 2 and "other images" in done.stderr


@pytest.mark.slow
def test_a_dry_run_says_runs_and_time_and_keeps_nothing(photos, tmp_path):
    done = fastbs("sweep", photos, *QUICK, "--dry-run", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("6 runs + 6 controls, ")
    assert "min on 1 CPU thread, one run after another; resumable in" in done.stdout
    assert not (tmp_path / "out").exists()


def test_a_size_that_diverges_is_a_row_and_not_an_end(photos, tmp_path):
    done = fastbs(
        "sweep", photos, "--batch-sizes", "2,16", "--epochs", "2", "--seeds", "1", "--threads", "1", "--no-controls",
        "--lr", "1e12", "--norm", "none", "--format", "json", "--out", tmp_path / "out",
    )  # fmt: skip
    document = json.loads(done.stdout)
    assert done.returncode == 1  # none is ok
    assert [row["status"] for row in document["rows"]] == ["diverged", "diverged"]
    assert all("not finite" in row["reason"] for row in document["rows"])


def test_a_run_by_itself_leaves_its_record(photos, tmp_path):
    command = ("train", photos, "--batch-size", 8, "--epochs", 2, "--threads", 1, "--out", tmp_path / "run")
    done = fastbs(*command)
    assert done.returncode == 0 and done.stdout.startswith("ok: small at batch size 8"), done.stderr
    again = fastbs(*command, "--format", "json")
    assert json.loads(again.stdout)["result"]["updates"] == 14


@pytest.mark.slow
def test_photographs_are_learnt_well_above_chance(shared_data, tmp_path):
    with tarfile.open(shared_data / "scenes.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    done = fastbs(
        "sweep", tmp_path / "scenes", "--batch-sizes", "8,32", "--epochs", "2", "--seeds", "1", "--no-controls",
        "--lr", "0.03", "--threads", "1", "--loader-threads", "1", "--format", "json", "--out", tmp_path / "out",
    )  # fmt: skip
    rows = json.loads(done.stdout)["rows"]
    assert done.returncode == 0
    assert all(row["top1_mean"] > 0.3 for row in rows)  # chance is 1/6, sampling alone gives ±.05


def cut_short(out, run="b0002-s0"):
    """Make a finished sweep look as if it had been killed in the middle of one of its runs."""
    document = out / "runs" / run / "run.json"
    content = json.loads(document.read_text())
    document.write_text(json.dumps(content | {"status": "running", "result": None}))
    (out / "summary.json").unlink()


@pytest.mark.slow
def test_what_killed_writers_leave_behind_is_no_obstacle_and_is_removed(photos, swept, tmp_path):
    new, old = tmp_path / "new", shutil.copytree(swept[0], tmp_path / "old")
    new.mkdir()
    cut_short(old)
    least = ("--batch-sizes", "16", "--epochs", "1", "--seeds", "1", "--threads", "1")
    for out, leftover, options in (
        (new, new / ".images.json.42.tmp", least),
        (old, old / "runs" / "b0002-s0" / ".checkpoint.pt.42.tmp", QUICK),
    ):
        leftover.write_text("half")
        done = fastbs("sweep", photos, *options, "--out", out)
        assert done.returncode == 0, done.stderr
        assert not leftover.exists()


def test_a_sweep_continues_after_its_images_have_moved(photos, swept, tmp_path):
    out, moved = shutil.copytree(swept[0], tmp_path / "out"), shutil.copytree(photos, tmp_path / photos.name)
    cut_short(out)
    (out / "runs" / "b0002-s0" / "checkpoint.pt").unlink()
    done = fastbs("sweep", moved, *QUICK, "--format", "json", "--out", out)
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "dataset.json").read_text())["root"] == str(moved)
    rows = [[row[key] for key in ("updates", "top1_mean", "status")] for row in json.loads(done.stdout)["rows"]]
    assert rows == [
        [row[key] for key in ("updates", "top1_mean", "status")] for row in json.loads(swept[1].stdout)["rows"]
    ]


def test_a_sweep_does_not_continue_on_another_machine(photos, swept, tmp_path):
    out = shutil.copytree(swept[0], tmp_path / "out")
    cut_short(out)
    plan = json.loads((out / "sweep.json").read_text())
    plan["machine"]["cpu"]["model"] = "another"
    (out / "sweep.json").write_text(json.dumps(plan))
    done = fastbs("sweep", photos, *QUICK, "--out", out)
    assert done.returncode == 2 and "planned on another machine (CPU was another" in done.stderr


def test_a_record_that_was_written_is_kept_when_its_process_dies_after_it(photos, swept, tmp_path, monkeypatch):
    from fastbs import worker
    from fastbs.config import RunConfig
    from fastbs.results.sweep_folder import SweepFolder
    from fastbs.sweeps.execute import Task, execute
    from fastbs.sweeps.plan import PlannedRun

    folder = SweepFolder(shutil.copytree(swept[0], tmp_path / "out"))
    run = next(run for run in folder.open()["runs"] if run["arm"] == "main")
    before = folder.run(run["id"]).document.read_bytes()
    died = worker.Outcome("failed", "ended by SIGSEGV", None, 1.0)
    call = SimpleNamespace(wait_passing_on=lambda: died)
    monkeypatch.setattr("fastbs.sweeps.execute.worker.start", lambda *_, **__: call)
    planned = PlannedRun(run["id"], run["arm"], RunConfig.from_json(run["config"]))
    outcome = execute(Task(folder.run(run["id"]), planned, folder.dataset, {}))
    assert (outcome.status, outcome.value) == ("ok", "ok")
    assert folder.run(run["id"]).document.read_bytes() == before


@pytest.mark.parametrize("key", ["resolved", "runs", "norm", "machine"])
def test_a_damaged_plan_is_named(swept, tmp_path, key):
    out = tmp_path / "out"
    out.mkdir()
    plan = json.loads((swept[0] / "sweep.json").read_text())
    del plan[key]
    (out / "sweep.json").write_text(json.dumps(plan))
    done = fastbs("show", out)
    assert done.returncode == 2 and f"sweep.json: damaged, '{key}' is missing" in done.stderr
