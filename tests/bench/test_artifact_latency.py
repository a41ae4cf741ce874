"""Latency of exported nets per batch size, beside torch: real runs of the command."""

import json
import subprocess
import sys

import numpy as np
import pytest

from fastbs.bench.artifacts import plan_artifacts
from fastbs.bench.inference import measure_artifact, measure_inference
from fastbs.bench.plan import BenchPlan
from fastbs.config import RunConfig
from fastbs.deployment.export import export_run
from fastbs.errors import BadInput
from fastbs.results.artifact_folder import ArtifactFolder
from fastbs.sweeps.single import train
from fastbs.worker import Unsupported

pytest.importorskip("onnxscript", reason="onnxscript is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

HOW = {"cuda_graph": False, "blocks": 2, "block_seconds": 0.02, "detail": True, "least_calls": 9}
ON_CPU = {"device": "cpu", "threads": 1}
SIZES = (1, 2, 4, 8, 16, 32, 64)


@pytest.fixture(scope="module")
def folder(photos, tmp_path_factory):
    """A run with an ONNX artefact in fp32 for batch sizes 1 to 32, and one in bf16."""
    root = tmp_path_factory.mktemp("deployed")
    run = RunConfig(data=str(photos), batch_size=8, epochs=1, lr=0.05, precision="fp32", threads=1)
    train(run, root / "b8")
    for precision in ("fp32", "bf16"):
        batch = {"min": 1, "opt": 8, "max": 32, "each": []}
        target = root / "b8" / "deployed" / f"onnx-{precision}"
        export_run(str(root / "b8"), "onnx", precision, batch, [], str(target), "unused")
    return root


@pytest.fixture(scope="module")
def fastbs_module():
    def run(*words):
        return subprocess.run([sys.executable, "-m", "fastbs", *words], capture_output=True, text=True)

    return run


@pytest.fixture(scope="module")
def measured(folder, fastbs_module):
    file = folder / "inference.json"
    sizes = ["--batch-sizes", ",".join(map(str, SIZES)), "--threads", "1", "--processes", "2"]
    fast = ["--blocks", "2", "--block-seconds", "0.01"]
    done = fastbs_module("bench", "inference", "--artifact", str(folder), *sizes, *fast, "--json", str(file))
    return done, json.loads(file.read_text())["fastbs"]


def test_every_size_of_every_net_is_a_row_with_its_percentiles_or_its_reason(measured):
    done, document = measured
    assert done.returncode == 0, done.stderr
    rows = {(row["backend"], row["precision"], row["trained_at"], row["batch_size"]): row for row in document["rows"]}
    assert len(rows) == len(document["rows"]) == 3 * len(SIZES)
    for size in SIZES:
        for name in (("eager", "fp32", None), ("onnx", "fp32", 8)):
            row = rows[*name, size]
            if name[0] == "onnx" and size == 64:
                assert row["status"] == "unsupported" and "exported for 1..32, tuned for 8" in row["reason"]
                continue
            stored = np.concatenate(row["latency_samples_ms"])
            assert row["status"] == "ok" and len(stored) == row["latency"]["calls"] >= 100
            for p in (50, 90, 95, 99):
                assert row["latency"][f"p{p}_ms"] == np.percentile(stored, p)
            assert row["first_ms"] > 0 and row["load_ms"] > 0 and row["images_per_second"] > 0
            assert row["h2d_ms"] is row["host_bound"] is None and row["cuda_graph"] is False
        bf16 = rows["onnx", "bf16", 8, size]
        assert bf16["status"] == "unsupported" and "ONNX Runtime cannot compute in bf16" in bf16["reason"]


def test_the_table_names_every_net_and_its_percentiles(measured):
    done, _ = measured
    lines = done.stdout.splitlines()
    assert lines[1].split()[:6] == ["batch", "net", "p50", "ms", "p90", "p95"]
    assert any(line.split()[:5] == ["32", "onnx", "fp32", "of", "8"] for line in lines)
    assert max(map(len, lines)) <= 120


def test_the_latencies_are_left_with_the_artifact_that_they_are_of(folder, measured):
    artifact = ArtifactFolder(folder / "b8" / "deployed" / "onnx-fp32")
    found = artifact.finding(artifact.latency, "latency")
    own = [row for row in measured[1]["rows"] if row["backend"] == "onnx" and row["precision"] == "fp32"]
    assert found["rows"] == own and found["machine"] == measured[1]["machine"]


def test_compare_takes_such_files_and_does_not_mistake_one_net_for_another(folder, measured, fastbs_module, tmp_path):
    file = folder / "inference.json"
    assert fastbs_module("compare", str(file), str(file)).returncode == 0
    document = json.loads(file.read_text())
    for row in document["fastbs"]["rows"]:
        row["backend"] = {"onnx": "tensorrt"}.get(row["backend"], row["backend"])
    (tmp_path / "other.json").write_text(json.dumps(document))
    done = fastbs_module("compare", str(file), str(tmp_path / "other.json"), "--format", "json")
    verdicts = {(row["key"]["backend"], row["verdict"]) for row in json.loads(done.stdout)["rows"]}
    assert ("onnx", "missing") in verdicts and ("tensorrt", "new") in verdicts and ("eager", "same") in verdicts


def test_artifacts_of_different_nets_or_beside_another_question_are_refused(folder, tmp_path):
    plan = BenchPlan(questions=("inference",), artifacts=(str(folder),))
    planned = plan_artifacts(plan)
    assert planned.models == ("small",) and planned.image_size == 16 and len(planned.artifacts) == 2
    assert plan_artifacts(BenchPlan()) == BenchPlan()
    other = tmp_path / "other"
    document = ArtifactFolder(folder / "b8" / "deployed" / "onnx-fp32").read()
    other.mkdir()
    changed = document | {"run": document["run"] | {"classes": 7}}
    ArtifactFolder(other).write({key: value for key, value in changed.items() if key != "digest"})
    with pytest.raises(BadInput, match="are different nets; measure them one after the other"):
        plan_artifacts(BenchPlan(questions=("inference",), artifacts=(str(folder), str(other))))
    with pytest.raises(BadInput, match="artifact: belongs to fastbs bench inference"):
        BenchPlan(artifacts=(str(folder),))


def test_calls_are_counted_and_a_cuda_graph_needs_a_gpu(folder):
    artifact = str(folder / "b8" / "deployed" / "onnx-fp32")
    sample = measure_artifact(artifact, 16, 4, **ON_CPU, **HOW)
    assert len(sample["latency_seconds"]) >= 9 and sample["images"] == 4
    assert "latency_seconds" not in measure_artifact(artifact, 16, 4, **ON_CPU, **HOW | {"detail": False})
    with pytest.raises(Unsupported, match="CUDA graphs need an NVIDIA GPU"):
        measure_artifact(artifact, 16, 4, **ON_CPU, **HOW | {"cuda_graph": True})


@pytest.mark.gpu
@pytest.mark.parametrize("graph", [False, True])
def test_on_a_gpu_the_parts_of_a_call_are_told_apart(graph):
    how = HOW | {"cuda_graph": graph}
    sample = measure_inference("resnet18", None, 10, 64, 8, "fp32", "eager", "cuda", 1, **how)
    parts = [sample[f"{name}_seconds"] for name in ("h2d", "compute", "d2h", "enqueue")]
    assert all(part > 0 for part in parts)
    assert sum(parts[:3]) <= 1.5 * np.median(sample["latency_seconds"])
    if graph:
        plain = measure_inference("resnet18", None, 10, 64, 8, "fp32", "eager", "cuda", 1, **HOW)
        assert sample["enqueue_seconds"] < plain["enqueue_seconds"], "one launch instead of many"
