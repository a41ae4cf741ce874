"""Latency of exported nets per batch size, beside torch: real runs of the command."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fastbs.bench.artifacts import plan_artifacts, write_latencies
from fastbs.bench.cells import make_cells
from fastbs.bench.deployed_inference import measure_artifact
from fastbs.bench.plan import BenchPlan
from fastbs.bench.setting import open_setting
from fastbs.config import RunConfig
from fastbs.deployment.export import export_run
from fastbs.deployment.library import MissingLibrary
from fastbs.deployment.open_artifact import open_artifact
from fastbs.errors import BadInput
from fastbs.results.artifact_folder import KEYS, ArtifactFolder
from fastbs.sweeps.single import train
from fastbs.worker import Unsupported

pytest.importorskip("onnxscript", reason="onnxscript is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

HOW = {"cuda_graph": False, "blocks": 2, "block_seconds": 0.02, "detail": True, "least_calls": 9}
ON_CPU = {"device": "cpu", "threads": 1}
SIZES = (1, 8, 32, 64)


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


def measure(folder, backend, **other):
    digest = ArtifactFolder(folder).read()["digest"]
    how = {"digest": digest, "precision": "fp32", "image_size": 16, "batch_size": 4} | ON_CPU | HOW | other
    return measure_artifact(str(folder), backend=backend, **how)


@pytest.fixture(scope="module")
def fastbs_module():
    def run(*words):
        return subprocess.run([sys.executable, "-m", "fastbs", *words], capture_output=True, text=True)

    return run


@pytest.fixture(scope="module")
def measured(folder, fastbs_module):
    file = folder / "inference.json"
    sizes = ["--batch-sizes", ",".join(map(str, SIZES)), "--threads", "1", "--processes", "1"]
    fast = ["--blocks", "2", "--block-seconds", "0.01", "--step", "eager"]
    done = fastbs_module("bench", "inference", "--artifact", str(folder), *sizes, *fast, "--json", str(file))
    assert file.exists(), done.stderr
    return done, json.loads(file.read_text())["fastbs"]


@pytest.mark.slow
def test_every_size_of_every_net_is_a_row_with_its_percentiles_or_its_reason(measured):
    done, document = measured
    assert done.returncode == 0, done.stderr
    rows = {(row["backend"], row["precision"], row["trained_at"], row["batch_size"]): row for row in document["rows"]}
    assert len(rows) == len(document["rows"]) == 3 * len(SIZES)
    for size in SIZES:
        for name in (("eager", "fp32", 8), ("onnx", "fp32", 8)):
            row = rows[*name, size]
            if name[0] == "onnx" and size == 64:
                assert row["status"] == "unsupported" and "exported for 1..32, tuned for 8" in row["reason"]
                continue
            stored = np.concatenate(row["latency_samples_ms"])
            assert row["status"] == "ok" and len(stored) == row["latency"]["calls"] >= 100
            for p in (50, 90, 95, 99):
                assert row["latency"][f"p{p}_ms"] == pytest.approx(np.percentile(stored, p), rel=1e-12)
            assert row["first_ms"] > 0 and row["load_ms"] > 0 and row["images_per_second"] > 0
            assert row["h2d_ms"] is row["host_bound"] is None and row["cuda_graph"] is False
        bf16 = rows["onnx", "bf16", 8, size]
        why = "ONNX Runtime cannot compute in bf16" if size <= 32 else "exported for 1..32, tuned for 8"
        assert bf16["status"] == "unsupported" and why in bf16["reason"]


def test_the_table_names_every_net_and_its_percentiles(measured):
    done, _ = measured
    lines = done.stdout.splitlines()
    assert "trained at 8 · " in lines[0] and lines[1].split()[:6] == ["batch", "net", "p50", "ms", "p90", "p95"]
    assert any(line.split()[:3] == ["32", "onnx", "fp32"] for line in lines)
    assert any(line.split()[:3] == ["64", "onnx", "fp32"] and "unsupported" in line for line in lines)
    assert max(map(len, lines)) <= 120


def test_the_latencies_are_left_with_the_artifact_that_they_are_of(folder, measured):
    artifact = ArtifactFolder(folder / "b8" / "deployed" / "onnx-fp32")
    found = artifact.finding(artifact.latency, "latency")
    rows = {name: [row for row in measured[1]["rows"] if row["backend"] == name] for name in ("onnx", "eager")}
    own = [row for row in rows["onnx"] if row["precision"] == "fp32"]
    assert found["rows"] == own + rows["eager"] and found["machine"] == measured[1]["machine"]
    (exported,) = [each for each in measured[1]["settings"]["artifacts"] if each["precision"] == "fp32"]
    assert exported["digest"] == found["digest"] == artifact.read()["digest"]
    before = artifact.latency.read_text()
    write_latencies(measured[1] | {"rows": rows["eager"]})
    assert artifact.latency.read_text() == before


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
    artifact = folder / "b8" / "deployed" / "onnx-fp32"
    sample = measure(artifact, "onnx")
    assert len(sample["latency_seconds"]) >= 9 and sample["images"] == 4
    assert "latency_seconds" not in measure(artifact, "onnx", detail=False)
    with pytest.raises(Unsupported, match="CUDA graphs need an NVIDIA GPU"):
        measure(artifact, "onnx", cuda_graph=True)


@pytest.mark.parametrize("backend", ["eager", "compile"])
def test_torch_computes_what_was_exported(folder, monkeypatch, backend):
    seen = []
    monkeypatch.setattr(torch, "compile", lambda net: seen.append("compiled") or net)
    monkeypatch.setattr("fastbs.bench.inference.why_no_compiler", lambda place: None)

    def look(forward, images, **_):
        seen.append((images, forward(images)))
        return {}

    monkeypatch.setattr("fastbs.bench.deployed_inference.measure_forward", look)
    measure(folder / "b8" / "deployed" / "onnx-fp32", backend)
    images, logits = seen[-1]
    assert ("compiled" in seen) == (backend == "compile")
    assert images.shape == (4, 3, 16, 16) and images.is_contiguous() and images.dtype == torch.float32
    exported = open_artifact(folder / "b8" / "deployed" / "onnx-fp32", torch.device("cpu"), 1).forward(images)
    torch.testing.assert_close(logits, exported, rtol=1e-3, atol=1e-4)


def test_torch_is_not_set_beside_an_artefact_whose_run_is_gone_or_trained_anew(folder, tmp_path):
    run = tmp_path / "b8"
    shutil.copytree(folder / "b8", run)
    artifact = run / "deployed" / "onnx-fp32"
    state = torch.load(run / "checkpoint.pt")
    next(iter(state["model"].values())).mul_(2)
    torch.save(state, run / "checkpoint.pt")
    with pytest.raises(Unsupported, match="its run was trained anew"):
        measure(artifact, "eager")
    (run / "run.json").unlink()
    with pytest.raises(Unsupported, match="nothing to set beside the artefact: .*no run of fastbs"):
        measure(artifact, "eager")
    assert len(measure(artifact, "onnx")["latency_seconds"]) >= 9


def test_nothing_that_was_changed_is_measured_and_a_missing_library_is_a_reason(folder, tmp_path, monkeypatch):
    def missing(*_):
        raise MissingLibrary("onnxruntime: not installed; pip install 'fastbs[deploy]'")

    artifact = tmp_path / "onnx-fp32"
    shutil.copytree(folder / "b8" / "deployed" / "onnx-fp32", artifact)
    with monkeypatch.context() as patch:
        patch.setattr("fastbs.bench.deployed_inference.open_artifact", missing)
        with pytest.raises(Unsupported, match="onnxruntime: not installed"):
            measure(artifact, "onnx")
    with pytest.raises(BadInput, match="was exported anew while it was measured"):
        measure(artifact, "onnx", digest="of another")
    (artifact / "model.onnx.data").write_bytes(b"other weights")
    with pytest.raises(BadInput, match="model.onnx.data has 13 bytes.*export anew"):
        measure(artifact, "onnx")


def described(folder, **changes):
    """An artefact of which only artifact.json is there: nothing is computed."""
    folder.mkdir(parents=True)
    trained = {"id": "b8", "arm": "main", "folder": "../..", "batch_size": 8, "seed": 0, "model": "small"}
    trained |= {"norm": "group", "classes": 10, "image_size": 32}
    document = dict.fromkeys(KEYS) | {"to": "onnx", "precision": "fp16", "profiles": "1..32, tuned for 8", "files": {}}
    own = {key: value for key, value in changes.items() if key in document}
    trained |= {key: value for key, value in changes.items() if key not in document}
    ArtifactFolder(folder).write({"schema": 1, "kind": "artifact"} | document | own | {"run": trained})


def test_formats_of_one_net_share_what_torch_does_and_of_seeds_the_first_is_measured(tmp_path):
    described(tmp_path / "onnx")
    described(tmp_path / "rtx", to="tensorrt-rtx")
    described(tmp_path / "seed", seed=1)
    asked = BenchPlan(questions=("inference",), artifacts=(str(tmp_path),), batch_sizes=(1, 8), device="cpu", threads=1)
    plan = plan_artifacts(asked)
    with open_setting(plan) as setting:
        cells = make_cells(plan, setting)["inference"]
    ways = [
        (cell.identity["backend"], cell.identity["precision"]) for cell in cells if cell.identity["batch_size"] == 1
    ]
    assert sorted(ways) == [("compile", "fp32"), ("eager", "fp32"), ("onnx", "fp16"), ("tensorrt-rtx", "fp16")]
    assert {cell.identity["trained_at"] for cell in cells} == {8}
    assert all(plan.processes * cell.arguments["least_calls"] >= 100 for cell in cells)
    assert {Path(cell.arguments["folder"]).name for cell in cells} == {"onnx", "rtx"}


@pytest.mark.parametrize("changes", [{}, {"seed": 1, "profiles": "8 only"}, {"seed": 1, "arm": "lr x8"}])
def test_artifacts_that_would_be_the_same_rows_are_refused(tmp_path, changes):
    described(tmp_path / "one")
    described(tmp_path / "two", **changes)
    twice = (str(tmp_path / "one"), str(tmp_path / "one" / "."))
    assert len(plan_artifacts(BenchPlan(questions=("inference",), artifacts=twice)).artifacts) == 1
    with pytest.raises(BadInput, match="one and .*two would be the same rows; measure them one after the other"):
        plan_artifacts(BenchPlan(questions=("inference",), artifacts=(str(tmp_path),)))


@pytest.mark.parametrize("asked", [{"models": ("resnet18",)}, {"norm": "batch"}, {"image_size": 64}])
def test_another_net_than_the_exported_one_cannot_be_asked_for(tmp_path, asked):
    described(tmp_path / "one")
    with pytest.raises(BadInput, match="is that of the exported net; leave it out beside --artifact"):
        plan_artifacts(BenchPlan(questions=("inference",), artifacts=(str(tmp_path),), **asked))
