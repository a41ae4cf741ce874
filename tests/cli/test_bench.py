"""fastbs bench as it is typed: file, table, exit codes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
QUICK = ["--processes", "1", "--blocks", "2", "--block-seconds", "0.02", "--threads", "1"]


def fastbs(folder, *arguments, env=None):
    return subprocess.run(
        [sys.executable, "-m", "fastbs", *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | (env or {}),
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """(the finished process, its file) of a small throughput bench."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --nonsense\n")  # a user's own, which must not matter
    done = fastbs(
        folder, "bench", "throughput", "--batch-sizes", "1,2,8", "--image-size", 16, "--json", "out.json", *QUICK
    )
    assert done.returncode == 0, done.stderr
    return done, folder / "out.json"


@pytest.mark.slow
def test_the_file_is_pytest_benchmarks_and_holds_every_row(measured):
    document = json.loads(measured[1].read_text())
    rows = document["fastbs"]["rows"]
    assert [row["batch_size"] for row in rows] == [1, 2, 8]
    assert document["machine_info"]["fastbs"] == document["fastbs"]["machine"]
    for benchmark, row in zip(document["benchmarks"], rows, strict=True):
        assert benchmark["extra_info"] == row
        assert benchmark["stats"]["rounds"] == 2
        assert benchmark["stats"]["median"] * row["images_per_second"] == pytest.approx(1, rel=0.5)
        assert {"model", "precision", "loader", "input", "step", "batch_size"} <= row.keys()


def test_pytest_benchmark_compare_reads_the_file(measured):
    done = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", str(measured[1])],
        capture_output=True,
        text=True,
        cwd=measured[1].parent,
    )
    assert done.returncode == 0 and done.stdout.count("test_throughput[throughput-small") == 3, done.stderr


def test_stdout_is_the_table_alone(measured):
    out = measured[0].stdout
    assert "images/s" in out and "benchmark" not in out and "passed" not in out


def test_a_size_that_fails_is_a_row_and_the_exit_code(tmp_path):
    (tmp_path / "mine.py").write_text(
        "def make(batch_size):\n"
        "    def step():\n"
        "        if batch_size == 2: raise ValueError('no pair')\n"
        "        if batch_size == 4: raise MemoryError('no room')\n"
        "    return step\n"
    )
    arguments = ["bench", "step", "--function", "mine.py:make", "--batch-sizes", "1,2,4", "--format", "json", *QUICK]
    done = fastbs(tmp_path, *arguments, "--json", "out.json")
    assert done.returncode == 1, done.stderr
    assert done.stdout == (tmp_path / "out.json").read_text()
    rows = {row["batch_size"]: row for row in json.loads(done.stdout)["fastbs"]["rows"]}
    assert [rows[size]["status"] for size in (1, 2, 4)] == ["ok", "failed", "oom"]
    assert "no pair" in rows[2]["reason"] and "no room" in rows[4]["reason"]
    assert len(json.loads(done.stdout)["benchmarks"]) == 1


def test_a_file_is_written_also_when_no_row_is_ok(tmp_path):
    (tmp_path / "mine.py").write_text("def make(batch_size):\n    raise MemoryError('never')\n")
    arguments = ["bench", "step", "--function", "mine.py:make", "--batch-sizes", "1", "--json", "o.json", *QUICK]
    done = fastbs(tmp_path, *arguments)
    assert done.returncode == 1
    document = json.loads((tmp_path / "o.json").read_text())
    assert document["benchmarks"] == [] and document["fastbs"]["rows"][0]["status"] == "oom"


@pytest.mark.parametrize("place", [".", "/proc/nowhere/out.json"])
def test_a_file_that_cannot_be_written_is_said_before_anything_is_measured(tmp_path, place):
    done = fastbs(tmp_path, "bench", "throughput", "--batch-sizes", "1", "--json", place)
    assert done.returncode == 2 and "cannot be written" in done.stderr and "1/3" not in done.stderr


def processes_in(folder):
    """What still runs there; ours inherit it from the command."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").resolve() == folder:
                found.append(entry.name)
        except OSError:
            continue  # ended meanwhile, or another user's
    return found


@pytest.mark.slow
def test_an_interrupt_is_one_line_leaves_no_process_and_no_file(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "fastbs", "bench", "throughput", "--batch-sizes", "1", "--json", "out.json"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite in the background ignores it
    )
    for line in process.stderr:
        if line.startswith("1/3"):  # it is measuring
            break
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and out == "", errors
    assert errors.splitlines()[-1] == "fastbs: interrupted" and "Traceback" not in errors
    assert not list(tmp_path.iterdir())
    assert not processes_in(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["throughput", "--model", "smal"], 2, "did you mean small"),
        (["throughput", "--precision", "fp23"], 2, "fp23"),
        (["throughput", "--data", "nowhere"], 2, "nowhere"),
        (["throughput", "--processes", "0"], 2, "processes"),
        (["throughput", "photos"], 2, "photos: not an option; images are given with --data"),
        (["throughput", "--classes", "0"], 2, "classes"),
        (["accuracy", "--target", "7"], 2, "target"),
        (["step"], 2, "--function"),
        (["step", "--function", "nowhere.py:make"], 2, "nowhere.py"),
        (["throughput", "--", "-k", "nothing_of_the_kind"], 5, "nothing_of_the_kind"),
        (["throughput", "--", "--nonsense"], 2, "--nonsense"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(tmp_path, arguments, code, said):
    done = fastbs(tmp_path, "bench", arguments[0], "--json", "out.json", "--batch-sizes", "1", *arguments[1:])
    assert done.returncode == code, done.stderr
    assert said in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert not (tmp_path / "out.json").exists()
