"""fastbs export and check, as typed."""

import json
import subprocess
import sys

import pytest

from fastbs.config import RunConfig, SweepConfig
from fastbs.sweeps.sweep import sweep

pytest.importorskip("onnxscript", reason="onnxscript is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


@pytest.fixture(scope="module")
def swept(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep") / "sweep"
    run = RunConfig(data=str(photos), epochs=3, lr=0.05, precision="fp32", threads=1)
    sweep(SweepConfig(run=run, batch_sizes=(4, 16), seeds=1, controls=False), folder)
    return folder


def fastbs(*arguments):
    return subprocess.run([sys.executable, "-m", "fastbs", *map(str, arguments)], capture_output=True, text=True)


@pytest.mark.slow
def test_every_run_of_a_sweep_is_exported_checked_and_shown(swept, tmp_path):
    done = fastbs("export", swept, "--batch-sizes", "1,4", "--format", "json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["artifacts"]
    assert [row["artifact"]["run"]["batch_size"] for row in rows] == [4, 16]
    assert all(row["folder"].endswith(f"runs/{row['run']}/deployed/onnx-fp16") for row in rows)
    assert done.stderr.count(": ok (") == 2
    done = fastbs("check", swept)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" ok\n") == 2 and "error: the largest difference of a logit" in done.stdout
    done = fastbs("check", swept, "--max-error", "1e-9", "--format", "json")
    checks = json.loads(done.stdout)["checks"]
    assert done.returncode == 1 and [row["status"] for row in checks] == ["failed", "failed"]
    assert all("of the logits' spread" in row["failures"][0] for row in checks)


@pytest.mark.slow
def test_several_runs_go_into_folders_of_their_own(swept, tmp_path):
    runs = sorted((swept / "runs").iterdir())
    done = fastbs("export", *runs, "--precision", "fp32", "--batch-sizes", "1,4", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == [run.name for run in runs]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["export"], "Missing argument 'RECORDS...'"),
        (["export", "nowhere"], "nowhere: holds neither a run nor a sweep of fastbs"),
        (["export", "nowhere", "--batch-sizes", "1,8", "--opt", "9"], "opt: 9 is outside of the batch sizes 1 to 8"),
        (["export", "nowhere", "--to", "tflite"], "'tflite' is not one of"),
        (["check", "nowhere"], "nowhere: no such folder; name an artefact, or a run or sweep with some"),
        (["check", "HERE"], "holds no artefact; make one with fastbs export"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_2(tmp_path, arguments, says):
    done = fastbs(*(tmp_path if argument == "HERE" else argument for argument in arguments))
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and says in done.stderr


@pytest.mark.slow
def test_what_was_tampered_with_ends_with_1_and_says_which_file(swept, tmp_path):
    run = sorted((swept / "runs").iterdir())[0]
    assert fastbs("export", run, "--batch-sizes", "1,4", "--out", tmp_path / "a").returncode == 0
    weights = tmp_path / "a" / "model.onnx.data"
    weights.write_bytes(b"\0" * weights.stat().st_size)
    done = fastbs("check", tmp_path / "a")
    assert done.returncode == 1 and "model.onnx.data was changed" in done.stdout
    (tmp_path / "a" / "artifact.json").write_text("{")
    done = fastbs("check", tmp_path / "a")
    assert done.returncode == 2 and "artifact.json: not a readable JSON file" in done.stderr
