import dataclasses
import json
import time

import pytest
import torch

from fastbs import worker
from fastbs.config import RunConfig
from fastbs.data.check import verified_dataset
from fastbs.errors import BadInput
from fastbs.measurement.machine import machine
from fastbs.results.files import write_json
from fastbs.results.mllog import mlperf_run, read_mllog
from fastbs.results.run_folder import RunFolder
from fastbs.training import checkpoint
from fastbs.training.resolve import resolve
from fastbs.training.run import train
from fastbs.training.step import Step
from fastbs.worker import Unsupported

CPU = torch.device("cpu")
WATCHED = {"micro_batch": 4, "noise_scale": True, "noise_share": 0.5, "precision": "fp32"}


@pytest.fixture
def make_run(photos, tmp_path):
    """Resolve and train with these settings in a folder of that name; returns the folder."""
    dataset = verified_dataset(photos)
    write_json(tmp_path / "dataset.json", dataset.to_json())

    def run(name, **settings):
        defaults = {"batch_size": 8, "epochs": 5, "eval_images": 24, "threads": 1, "checkpoint_seconds": 0}
        config = resolve(RunConfig(data=str(photos), **defaults | settings).to_json(), dataset.to_json())["run"]
        status = train(config, str(tmp_path / "dataset.json"), str(tmp_path / name), "main", machine())
        return RunFolder(tmp_path / name), status

    return run


def weights(folder):
    return checkpoint.load(folder.checkpoint, CPU)["model"]


def without_times(evaluations):
    return [dataclasses.replace(evaluation, train_seconds=0, wall_seconds=0) for evaluation in evaluations]


def test_a_run_leaves_a_whole_record(make_run):
    folder, status = make_run("run", target=0.5)
    record = folder.record()
    assert status == record.status == "ok"
    assert record.result.updates == 5 * (60 // 8) == record.last.updates
    assert record.result.images == 8 * record.result.updates
    assert [e.updates for e in record.evaluations] == [*range(3, 35, 3), 35]
    assert record.last.top1 > 0.9
    times = record.result
    assert 0 < times.step_seconds <= times.train_seconds <= times.wall_seconds
    assert times.startup_seconds + times.train_seconds + times.eval_seconds <= times.wall_seconds * 1.01
    assert 0 < times.update_seconds < times.step_seconds
    assert list(folder.path.glob("events.out.tfevents.*"))
    logged = mlperf_run(read_mllog(folder.mllog), folder.mllog)
    assert [e.accuracy for e in logged.evaluations] == [e.top1 for e in record.evaluations]
    assert logged.batch_size == 8 and logged.status == "success"


@pytest.mark.parametrize("settings", [{"loader": "dali"}, {"loader": "resident"}, {"precision": "fp16"}, WATCHED])
def test_a_run_that_was_cut_off_ends_with_the_weights_of_an_undisturbed_one(make_run, monkeypatch, settings):
    settings = {"augment": "crop-flip", "optimizer": "adamw", "warmup_images": 40, "schedule": "cosine"} | settings
    whole, _ = make_run("whole", **settings)

    plain, calls = Step.__call__, []

    def cut(step, batch):
        calls.append(batch)
        if len(calls) in (11, 11 + 15):
            raise KeyboardInterrupt
        return plain(step, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Step, "__call__", cut)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                make_run("cut", **settings)
    resumed, status = make_run("cut", **settings)
    assert status == "ok" and len(calls) > 25
    ours, theirs = weights(resumed), weights(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert without_times(resumed.record().evaluations) == without_times(whole.record().evaluations)
    assert resumed.record().result.updates == whole.record().result.updates


def test_the_same_seed_gives_the_same_run_and_another_seed_another(make_run):
    runs = [make_run(name, seed=seed)[0] for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    losses = [[e.train_loss for e in run.record().evaluations] for run in runs]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.slow
def test_the_compiled_step_equals_the_eager_one(make_run, photos, tmp_path):
    """Compilation in a process of its own, as always outside of tests: the compiler minds what pytest has imported."""
    if " " in torch.__file__:
        with pytest.raises(BadInput, match="path with a space"):
            make_run("compiled", step="compile")
        return
    eager, _ = make_run("eager", precision="fp32", updates=10, lr=0.003)
    config = json.loads(eager.document.read_text())["config"] | {"step": "compile"}
    arguments = {"dataset": str(tmp_path / "dataset.json"), "folder": str(tmp_path / "compiled"), "arm": "main"}
    outcome = worker.call("fastbs.training.run:train", arguments | {"config": config, "machine": machine()}, threads=1)
    assert outcome.value == "ok", outcome.reason
    compiled = RunFolder(tmp_path / "compiled")
    ours, theirs = weights(compiled), weights(eager)
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-4)
    assert compiled.record().last.train_loss == pytest.approx(eager.record().last.train_loss, rel=1e-3)


def test_a_rate_that_is_too_high_is_diverged_with_the_update_at_which_it_was_seen(make_run):
    folder, status = make_run("run", lr=1e12, norm="none")
    record = folder.record()
    assert status == record.status == "diverged"
    assert "not finite after" in record.reason
    assert record.result.updates < 35


def test_batch_norm_over_a_single_value_is_unsupported(make_run):
    with pytest.raises(Unsupported, match="normalisation over a single value per channel"):
        make_run("run", model="resnet18", batch_size=1, image_size=8, norm="batch", updates=1)


def test_a_corrupt_checkpoint_is_refused_by_name(make_run):
    folder, _ = make_run("run", updates=4)
    document = json.loads(folder.document.read_text())
    folder.document.write_text(json.dumps(document | {"status": "running"}))
    folder.checkpoint.write_bytes(folder.checkpoint.read_bytes()[:1000])
    with pytest.raises(BadInput, match="checkpoint.pt: not a readable checkpoint"):
        make_run("run", updates=4)


def test_a_run_ended_between_its_last_checkpoint_and_its_record_is_only_recorded(make_run):
    folder, _ = make_run("run", updates=6)
    before = folder.record()
    document = json.loads(folder.document.read_text())
    folder.document.write_text(json.dumps(document | {"status": "running", "result": None}))
    again, status = make_run("run", updates=6)
    assert status == "ok" and again.record().evaluations == before.evaluations
    assert again.record().result.train_seconds == before.result.train_seconds


def test_a_finished_run_is_left_alone(make_run):
    folder, _ = make_run("run", updates=4)
    before = {path: path.stat().st_mtime_ns for path in folder.path.iterdir()}
    assert make_run("run", updates=4)[1] == "ok"
    assert {path: path.stat().st_mtime_ns for path in folder.path.iterdir()} == before


def test_a_run_does_not_continue_on_another_machine(make_run, monkeypatch):
    elsewhere = machine()
    elsewhere["cpu"]["model"] = "another"
    monkeypatch.setattr("fastbs.training.run.measure_machine", lambda: elsewhere)
    with pytest.raises(BadInput, match="planned on another machine .CPU was"):
        make_run("run", updates=4)


def test_building_the_loader_is_start_up_and_not_training(make_run, monkeypatch):
    """Half a second in the first chunk must not show in the training clock."""
    from fastbs.data.loaders.resident import ResidentLoader

    plain = ResidentLoader._chunks

    def slow(loader, epoch, batch):
        time.sleep(0.5)
        yield from plain(loader, epoch, batch)

    monkeypatch.setattr(ResidentLoader, "_chunks", slow)
    result = make_run("run", loader="resident", updates=4)[0].record().result
    assert result.startup_seconds > 1.0 > 0.5 > result.train_seconds
