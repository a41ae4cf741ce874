"""fastbs profile as it is typed, and what is made of a sample."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastbs.bench.profile import finished_row

ROOT = Path(__file__).resolve().parents[2]


def fastbs(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "fastbs", *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PATH": "/nowhere"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    """(the finished process, its folder) of a small net at two sizes."""
    folder = tmp_path_factory.mktemp("profile")
    options = ["--image-size", 16, "--threads", 1, "--precision", "fp32", "--device", "cpu", "--format", "json"]
    return fastbs(folder, "profile", "--batch-sizes", "1,4", "--tool", "torch", "--out", "p", *options), folder / "p"


@pytest.mark.slow
def test_json_is_the_file_byte_for_byte_and_has_a_row_for_each_size(profiled):
    done, folder = profiled
    assert done.returncode == 0, done.stderr
    assert done.stdout == (folder / "profile.json").read_text()
    document = json.loads(done.stdout)
    assert document["kind"] == "profile" and [row["batch_size"] for row in document["rows"]] == [1, 4]
    for row in document["rows"]:
        assert row["status"] == "ok" and row["reason"] is None
        assert list(row["phases"]) == ["input", "forward", "backward", "update", "rest"]
        assert row["unexplained"] == pytest.approx(1 - sum(row["phases"].values()) / row["step_seconds"])
        assert row["images_per_second"] == pytest.approx(row["batch_size"] / row["step_seconds"])
        assert row["h2d_seconds"] is row["gpu_busy"] is row["communication_seconds"] is row["host_seconds"] is None
        assert row["flops"] > 0 and row["operators"] > 20 and row["memory"]["resident_bytes"] > 1 << 20
        assert row["shares"][row["bound"]] == max(share for share in row["shares"].values() if share is not None)
    assert document["rows"][1]["flops"] == 4 * document["rows"][0]["flops"]
    assert document["rows"][1]["operators"] == document["rows"][0]["operators"]


def test_every_size_leaves_a_trace(profiled):
    done, folder = profiled
    for row in json.loads(done.stdout)["rows"]:
        with gzip.open(folder / row["trace"], "rt") as file:
            names = {event.get("name") for event in json.load(file)["traceEvents"]}
        assert "fastbs.backward" in names
        assert any("conv" in each["name"] for each in row["by_phase"]["forward"])


@pytest.mark.slow
def test_ranks_share_the_batch_and_say_what_they_cost_each_other(tmp_path):
    options = ["--batch-sizes", "4", "--image-size", 16, "--device", "cpu", "--threads", 1, "--precision", "fp32"]
    done = fastbs(tmp_path, "profile", "--gpus", 2, *options, "--format", "json", "--tool", "torch", "--out", "p")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["settings"]["gpus"] == 2
    (row,) = document["rows"]
    assert row["status"] == "ok"
    assert row["communication_seconds"] == row["synced_pass_seconds"] - row["unsynced_pass_seconds"]
    assert row["images_per_second"] == pytest.approx(4 / row["step_seconds"])
    assert sorted(file.name for file in (tmp_path / "p").iterdir()) == ["batch-00004.pt.trace.json.gz", "profile.json"]


@pytest.mark.slow
def test_where_nothing_can_be_captured_the_command_that_would_is_printed(tmp_path):
    options = ["--batch-sizes", 1, "--image-size", 16, "--threads", 1, "--device", "cpu", "--tool", "nsys"]
    done = fastbs(tmp_path, "profile", *options)
    assert done.returncode == 0, done.stderr
    assert "this machine has no GPU" in done.stderr and "nsys profile --capture-range=cudaProfilerApi" in done.stderr
    request = json.loads((tmp_path / "runs/profile/batch-00001.request.json").read_text())
    assert request["config"]["batch_size"] == 1 and request["dataset"]["classes"]
    (row,) = json.loads((tmp_path / "runs/profile/profile.json").read_text())["rows"]
    assert row["nsys"]["command"] in done.stderr and row["nsys"]["report"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--batch-sizes", "0"], "batch"),
        (["nowhere"], "nowhere"),
        (["--loader", "dali"], "loader: dali reads images"),
        (["--model", "smal"], "did you mean small"),
        (["--out", "other"], "other: holds mine.txt"),
        (["--tool", "perf"], "perf"),
        (["--threads", "0"], "threads"),
        (["--gpus", "2", "--device", "cpu"], "1 images cannot be shared evenly by 2 ranks"),
        (["--gpus", "0"], "gpus"),
        (
            ["--gpus", "9999", "--device", "cpu"],
            "gpus: 9999 processes at a time need a core each, and this machine has",
        ),
        (["--gpus", "2", "--tool", "nsys"], "nsys records one process"),
    ],
)
def test_bad_input_is_one_line(tmp_path, options, said):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    done = fastbs(tmp_path, "profile", "--batch-sizes", "1", *options)
    assert done.returncode == 2 and said in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert done.stdout == ""


def test_idle_is_what_the_card_does_not_work_of_a_step_that_nothing_watched():
    sample = {
        "step_seconds": 0.01,
        "phases": {"input": 0.0, "forward": 0.004, "backward": 0.005, "update": 0.0005, "rest": 0.0005},
        "flops": 1,
        "matmul_flops_per_second": 1e9,
        "operators": None,
        "operator_seconds": None,
        "synced_pass_seconds": 0.010,
        "unsynced_pass_seconds": 0.009,
        "traced": {"busy_seconds": 0.004, "h2d_seconds": 0.001, "by_phase": {}}
        | {"arithmetic_seconds": 0.003, "largest_other": None},
    }
    row = finished_row(8, sample, None)
    assert row["idle_seconds"] == pytest.approx(0.006) and row["gpu_busy"] == pytest.approx(0.4)
    assert row["communication_seconds"] == pytest.approx(0.001)
    assert row["bound"] == "launch" and row["h2d_seconds"] == 0.001 and row["images_per_second"] == pytest.approx(800)
    overlapping = finished_row(8, sample | {"traced": sample["traced"] | {"busy_seconds": 0.011}}, None)
    assert overlapping["idle_seconds"] == 0 and overlapping["gpu_busy"] == 1
