"""show and advise --latency on a sweep whose runs were exported; records are written by hand, as export, check and
bench write them."""

import csv
import hashlib
import io
import json
import os

import pytest
from click.testing import CliRunner

from fastbs.cli import fastbs
from fastbs.config import RunConfig, SweepConfig
from fastbs.errors import BadInput
from fastbs.results.artifact_folder import KEYS, ArtifactFolder
from fastbs.results.deployed import deployed_nets
from fastbs.results.files import read_json, write_json
from fastbs.results.record import Evaluation, Result
from fastbs.results.run_folder import RunFolder
from fastbs.results.sweep_folder import SweepFolder

SIZES = (4, 16, 64, 256)
DATASET = {"name": "photos", "train": 6000, "validation": 500, "test": None, "split": "-", "imbalance": 1.0}
DATASET |= {"fingerprint": "f"}
MACHINE = {"cpu": {"model": "AMD EPYC 9B14"}, "gpu": {"devices": [{"name": "NVIDIA H200"}]}}


@pytest.fixture
def sweep(tmp_path):
    """A finished sweep of one seed that reached its target at every size; the folder."""
    run = RunConfig(data="photos", target=0.75, device="cpu", threads=1, precision="fp32", eval_images=500)
    config = SweepConfig(run=run, batch_sizes=SIZES, seeds=1, lr_rule="linear")
    folder = SweepFolder(tmp_path / "swept")
    folder.open()
    configs = {f"b{size:04d}-s0": config.run.replace(batch_size=size, seed=0) for size in SIZES}
    runs = [{"id": name, "arm": "main", "config": own.to_json()} for name, own in configs.items()]
    plan = {"resolved": config.to_json(), "requested": config.to_json(), "dataset": DATASET, "machine": {}}
    folder.write_plan(plan | {"parameters": 1, "norm": "group", "tuning": [], "runs": runs})
    for name, own in configs.items():
        train(folder.run(name), own)
    return folder.path


def train(folder: RunFolder, config):
    """E(B) = 8,000 (1 + B / 64) images to .75, at 4 ms + 0.1 ms an image."""
    images, step = 8_000 * (1 + config.batch_size / 64), 0.004 + 0.0001 * config.batch_size
    folder.path.mkdir(parents=True)
    folder.checkpoint.write_bytes(b"weights")
    folder.begin(arm="main", config=config.to_json(), dataset=DATASET, machine={})
    for part in range(1, 13):
        at = images * part / 10
        seconds = at / config.batch_size * step
        numbers = {"images": int(at), "updates": int(at / config.batch_size), "train_seconds": seconds, "lr": 0.01}
        numbers |= {"wall_seconds": seconds + 3, "top1": 0.75 * part / 10, "balanced_top1": 0.5}
        folder.append(Evaluation(**numbers, train_loss=1.0, train_top1=0.5, loss=1.0))
    values = dict.fromkeys(Result.__dataclass_fields__, 1) | {"update_seconds": None, "energy_joules": None}
    values |= {"energy_source": None, "step_seconds": step, "images": int(at), "train_seconds": seconds}
    folder.finish("ok", None, Result(**values))


def deploy(sweep, size, *, to="onnx", precision="fp32", check=None, p99=None, status="ok", **run):
    """An artefact of the run at `size`: `check` "ok" or "failed", or none; `p99` in ms by inference batch size."""
    folder = ArtifactFolder(sweep / "runs" / f"b{size:04d}-s0" / "deployed" / f"{to}-{precision}")
    folder.path.mkdir(parents=True, exist_ok=True)
    (folder.path / "model.onnx").write_text("graph")
    trained = {"folder": "../..", "checkpoint_sha256": hashlib.sha256(b"weights").hexdigest()}
    trained |= {"arm": "main", "batch_size": size, "seed": 0} | run
    files = {"model.onnx": {"sha256": hashlib.sha256(b"graph").hexdigest(), "bytes": 5}}
    document = dict.fromkeys(KEYS) | {"to": to, "precision": precision, "files": files, "run": trained}
    folder.write({"schema": 1, "kind": "artifact"} | document)
    found = {"schema": 1, "digest": folder.read()["digest"]}
    if check:
        ok = check == "ok"
        compared = {"images": 500, "top1_reference": 0.9, "top1": 0.9 if ok else 0.8, "flips": 0 if ok else 60}
        compared |= {"error": {"max": 0.001, "p99": 0.0, "mean": 0.0}, "evaluator": "onnxruntime 1.32.0 on the CPU"}
        compared |= {
            "same_images": True,
            "rounded": {"evaluator": "onnx reference", "images": 32, "error": {"max": 0.002}},
        }
        compared |= {"engine": None if to == "onnx" else "built, not run: no NVIDIA GPU here"}
        said = {"kind": "artifact-check", "status": check, "failures": [] if ok else ["60 of 500 images differ"]}
        write_json(folder.check, found | said | compared)
    if p99:
        rows = [
            {
                "question": "inference",
                "backend": backend,
                "precision": precision,
                "trained_at": size,
                "cuda_graph": False,
                "batch_size": batch,
                "status": status,
                "reason": None if status == "ok" else "no card",
                "images_per_second": 1e3 * batch / ms if status == "ok" else None,
                "latency": {"p50_ms": ms / 2, "p99_ms": ms if backend == to else 0.001} if status == "ok" else None,
            }
            for batch, ms in p99.items()
            for backend in (to, "eager")
        ]
        write_json(folder.latency, found | {"kind": "latency", "machine": MACHINE, "timed": "-", "rows": rows})
    return folder


def run(*words):
    return CliRunner().invoke(fastbs, [str(word) for word in words])


def shown(sweep):
    return json.loads(run("show", sweep, "--format", "json").stdout)


@pytest.mark.parametrize("style", ["table", "markdown", "json", "csv"])
def test_a_sweep_without_an_export_is_shown_byte_for_byte_as_before(sweep, style):
    before = run("show", sweep, "--format", style).stdout
    assert "eployed" not in before
    folder = deploy(sweep, 4, check="ok", p99={1: 1.0})
    assert run("show", sweep, "--format", style).stdout != before
    for file in folder.path.iterdir():
        file.unlink()
    assert run("show", sweep, "--format", style).stdout == before


def test_the_summary_has_an_entry_for_each_batch_size_and_kind(sweep):
    deploy(sweep, 4, check="ok", p99={1: 1.0, 32: 4.0})
    deploy(sweep, 4, precision="fp16", check="failed")
    deploy(sweep, 64, to="tensorrt-rtx", precision="fp16", check="ok")
    deploy(sweep, 256)
    rows = {(row["batch_size"], row["to"], row["precision"]): row for row in shown(sweep)["deployed"]}
    timed, failed = rows.pop((4, "onnx", "fp32")), rows.pop((4, "onnx", "fp16"))
    engine, plain = rows.pop((64, "tensorrt-rtx", "fp16")), rows.pop((256, "onnx", "fp32"))
    assert not rows
    assert failed["checks"] == {"ok": 0, "failed": 1, "not made": 0, "stale": 0} and failed["flips"] == 60
    assert engine["engines"] == {"run": 0, "built, not run": 1} and engine["latencies"]["not made"] == 1
    assert plain["checks"]["not made"] == 1 and plain["top1"] is None
    assert (timed["arm"], timed["top1_trained"], timed["agreement"]) == ("main", 0.9, 1.0)
    assert [(cell["machine"], cell["batch_size"], cell["p99_ms"]) for cell in timed["latency"]] == [
        ("AMD EPYC 9B14", 1, 1.0),
        ("AMD EPYC 9B14", 32, 4.0),
    ]


def test_engines_are_measured_on_the_gpu(sweep):
    deploy(sweep, 4, to="tensorrt", p99={1: 1.0})
    [row] = shown(sweep)["deployed"]
    assert [cell["machine"] for cell in row["latency"]] == ["NVIDIA H200"]


def export_anew(folder):
    folder.write(read_json(folder.document, "artifact") | {"versions": "others"})


def train_anew(folder):
    checkpoint = RunFolder(folder.path / "../..").checkpoint
    checkpoint.write_bytes(b"other weights")
    os.utime(checkpoint, (folder.document.stat().st_mtime + 1,) * 2)


def truncate(folder):
    (folder.path / "model.onnx").write_text("gra")


def tamper(folder):
    write_json(folder.document, read_json(folder.document, "artifact") | {"precision": "fp16"})


@pytest.mark.parametrize("change", [export_anew, train_anew, truncate, tamper])
def test_what_was_found_about_something_else_than_lies_there_now_is_stale_and_has_no_numbers(sweep, change):
    change(deploy(sweep, 4, check="ok", p99={1: 1.0}))
    [row] = shown(sweep)["deployed"]
    assert row["checks"]["stale"] == row["latencies"]["stale"] == row["exported"] == 1
    assert row["latency"] == [] and row["top1"] is None
    assert "1 of 1 changed or trained anew since the check" in run("show", sweep).stdout
    assert run("advise", sweep, "--latency", "5ms").exit_code == 4


@pytest.mark.parametrize("change", [train_anew, truncate, tamper])
def test_a_check_that_found_the_change_itself_counts_as_failed(sweep, change):
    folder = deploy(sweep, 4, check="failed", p99={1: 1.0})
    change(folder)
    [row] = shown(sweep)["deployed"]
    assert row["checks"]["failed"] == 1 and row["failures"] == [f"{folder.path}: 60 of 500 images differ"]


def test_results_rounded_as_the_card_rounds_them_are_part_of_the_error(sweep):
    deploy(sweep, 4, check="ok")
    [row] = shown(sweep)["deployed"]
    assert row["error"] == 0.002
    assert [(one["name"], one["images"]) for one in row["evaluators"]] == [
        ("onnx reference", 32),
        ("onnxruntime 1.32.0 on the CPU", 500),
    ]


@pytest.mark.parametrize("other", [{"batch_size": 16}, {"seed": 1}, {"arm": "scaled-lr"}])
def test_an_artefact_of_another_run_counts_for_nothing_where_it_lies(sweep, other):
    deploy(sweep, 4, check="ok", p99={1: 1.0}, **other)
    [row] = shown(sweep)["deployed"]
    assert (row["batch_size"], row["arm"], row["checks"]["stale"]) == (4, "main", 1)
    assert row["latencies"]["stale"] == 1


def test_an_export_that_was_cut_off_is_no_artefact(sweep):
    folder = deploy(sweep, 4)
    folder.path.rename(folder.path.with_name(".onnx-fp32.123.tmp"))
    assert deployed_nets(SweepFolder(sweep)) == []


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("artifact", {"to": None}, "to: null is not a text"),
        ("check", {"top1": 1.5}, "top1: 1.5 is not between 0 and 1"),
        ("latency", {"rows": [{"backend": "onnx"}]}, r"rows\[0\].precision: missing"),
        ("latency", {"schema": 9}, "schema 9 is newer"),
    ],
)
def test_a_damaged_record_is_named(sweep, file, change, said):
    folder = deploy(sweep, 4, check="ok", p99={1: 1.0})
    path = folder.path / f"{file}.json"
    write_json(path, json.loads(path.read_text()) | change)
    with pytest.raises(BadInput, match=rf"{file}\.json: {said}"):
        deployed_nets(SweepFolder(sweep))


def test_a_row_of_the_csv_has_columns_for_what_was_exported_from_its_runs(sweep):
    deploy(sweep, 16, check="ok", p99={1: 1.0, 8: 2.5})
    rows = {row["batch_size"]: row for row in csv.DictReader(io.StringIO(run("show", sweep, "--format", "csv").stdout))}
    assert rows["16"]["onnx fp32 checks ok"] == rows["16"]["onnx fp32 exported"] == "1"
    assert rows["16"]["onnx fp32 p99_ms at 8"] == "2.5" and rows["4"]["onnx fp32 p99_ms at 8"] == ""


def test_advice_within_a_latency_names_the_largest_batch_and_leaves_the_recommendation_alone(sweep):
    deploy(sweep, 16, check="ok", p99={1: 0.4, 8: 2.0, 32: 4.9, 64: 9.0})
    deploy(sweep, 16, precision="fp16", check="failed", p99={1: 0.1, 64: 0.2})
    free, limited = (
        run("advise", sweep, "--format", "json"),
        run("advise", sweep, "--latency", "5ms", "--format", "json"),
    )
    assert limited.exit_code == 0
    found = json.loads(limited.stdout)
    assert found.pop("latency")["best"] == {
        "to": "onnx",
        "precision": "fp32",
        "machine": "AMD EPYC 9B14",
        "cuda_graph": False,
        "batch_size": 32,
        "artefacts": 1,
        "p99_ms": 4.9,
        "images_per_second": pytest.approx(32e3 / 4.9),
    }
    assert found == json.loads(free.stdout)
    for style in ("table", "markdown"):
        text = " ".join(run("advise", sweep, "--latency", "5ms", "--format", style).stdout.split())
        assert "p99 within 5 ms, most images/s: onnx fp32 on AMD EPYC 9B14 at batch 32 (p99 4.90 ms; 6,531 im" in text
        assert "onnx fp16: no artefact passed its check; 1 of 1 failed the check: not to be used" in text
        assert "does not depend on its training batch size" in text and "not of the recommendation" in text


def test_advice_within_a_latency_that_nothing_keeps_ends_with_1(sweep):
    deploy(sweep, 16, check="ok", p99={1: 6.0, 8: 7.0})
    said = run("advise", sweep, "--latency", "5ms")
    assert said.exit_code == 1 and said.stdout.startswith("USE BATCH SIZE ")
    assert "inference  NO BATCH SIZE with p99 within 5 ms" in said.stdout
    assert "onnx fp32 on AMD EPYC 9B14: none; the least p99 is 6.00 ms, at batch 1" in said.stdout


def test_advice_within_a_latency_of_what_was_not_exported_ends_with_4_and_the_commands(sweep):
    said = run("advise", sweep, "--latency", "5ms")
    assert said.exit_code == 4 and "inference  p99 within 5 ms: not known, nothing was exported" in said.stdout
    assert said.stdout.splitlines()[-3:] == [
        f" for the latency: fastbs export {sweep} --to onnx --precision fp32",
        f" for the latency: fastbs check {sweep}",
        f" for the latency: fastbs bench inference --artifact {sweep}/runs/b0004-s0",
    ]
    deploy(sweep, 16, to="tensorrt-rtx", precision="fp16", check="ok")
    said = run("advise", sweep, "--latency", "5ms")
    assert said.exit_code == 4 and "tensorrt-rtx fp16: engine built, not run: no NVIDIA GPU here" in said.stdout
    deploy(sweep, 16, check="ok", p99={1: 1.0}, status="unsupported")
    said = run("advise", sweep, "--latency", "5ms")
    assert said.exit_code == 4 and "onnx fp32: not measured: no card" in said.stdout


def test_a_sweep_that_no_training_advice_follows_from_still_ends_with_4(sweep):
    plan = read_json(sweep / "sweep.json", "sweep-plan")
    plan["resolved"]["lr_rule"] = plan["requested"]["lr_rule"] = "constant"
    write_json(sweep / "sweep.json", plan)
    deploy(sweep, 16, check="ok", p99={1: 1.0})
    said = run("advise", sweep, "--latency", "5ms")
    assert said.exit_code == 4 and "too little to go by" in said.stdout
    assert "inference  p99 within 5 ms, most images/s: onnx fp32" in said.stdout
    assert json.loads(run("advise", sweep, "--latency", "5ms", "--format", "json").stdout)["latency"]["exit_code"] == 0


def test_a_latency_is_a_duration(sweep):
    wrong = run("advise", sweep, "--latency", "fast")
    assert wrong.exit_code == 2 and "write 10m or 8h" in wrong.stderr
