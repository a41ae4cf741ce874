"""How a run ends: at its target, out of updates, out of time, or stopped; and what an update is made of."""

import dataclasses
import json

import pytest
import torch

from fastbs.config import RunConfig
from fastbs.data.check import verified_dataset
from fastbs.errors import BadInput
from fastbs.measurement.machine import machine
from fastbs.results.files import write_json
from fastbs.results.run_folder import RunFolder
from fastbs.training import checkpoint
from fastbs.training.resolve import resolve
from fastbs.training.run import train
from fastbs.worker import Interrupted, interruption

CPU = torch.device("cpu")


@pytest.fixture
def make_run(photos, tmp_path):
    """Resolve and train with these settings in a folder of that name; returns its folder."""
    dataset = verified_dataset(photos)
    write_json(tmp_path / "dataset.json", dataset.to_json())

    def run(name, stop_after=None, **settings):
        defaults = {"batch_size": 8, "epochs": 5, "eval_images": 24, "threads": 1, "precision": "fp32"}
        config = resolve(RunConfig(data=str(photos), **defaults | settings).to_json(), dataset.to_json())["run"]
        folder = tmp_path / name
        train(config, str(tmp_path / "dataset.json"), str(folder), "main", machine(), stop_after)
        return RunFolder(folder)

    return run


def weights(folder):
    return checkpoint.load(folder.checkpoint, CPU)["model"]


def test_a_run_to_a_target_ends_when_it_is_held_and_does_not_say_it_trained_on(make_run):
    whole, ended = (
        make_run(name, target=0.8, until_target=ends, epochs=10) for name, ends in (("whole", False), ("ended", True))
    )
    evaluations = ended.record().evaluations
    assert ended.record().status == "ok" and ended.record().result.updates < whole.record().result.updates
    assert [e.top1 >= 0.8 for e in evaluations[-2:]] == [True, True]
    assert not any(a.top1 >= 0.8 and b.top1 >= 0.8 for a, b in zip(evaluations[:-1], evaluations[1:-1], strict=False))
    assert [e.top1 for e in evaluations] == [e.top1 for e in whole.record().evaluations[: len(evaluations)]]


def test_a_run_that_does_not_hold_its_target_is_missed_and_says_how_near_it_came(make_run):
    record = make_run("run", target=1.0, until_target=True, hold=50, epochs=1).record()
    assert record.status == "missed" and record.result.updates == 7
    assert f"top1 {max(e.top1 for e in record.evaluations):.3f} at best, 1 was to be held" in record.reason


def test_a_target_reached_in_a_run_that_goes_on_changes_nothing(make_run):
    assert make_run("with", target=0.6).record().evaluations[-1].updates == 35


def test_a_run_with_seconds_evaluates_when_they_are_over(make_run):
    record = make_run("run", seconds=0.001, epochs=500, eval_images=24 * 400).record()
    assert record.status == "ok" and record.last.updates == record.result.updates < 500
    assert record.result.train_seconds >= 0.001 and len(record.evaluations) == 1


def test_a_run_that_would_not_win_is_stopped_at_its_next_evaluation_with_what_it_measured(make_run):
    record = make_run("run", stop_after=1e-6, target=1.0, hold=50, until_target=True).record()
    assert record.status == "stopped" and record.reason.startswith("dominated: ")
    assert record.result.updates == 3 and len(record.evaluations) == 1


def test_a_run_that_was_cut_off_after_it_held_its_target_ends_there(make_run):
    folder = make_run("run", target=0.8, until_target=True, epochs=10)
    before = folder.record()
    document = json.loads(folder.document.read_text())
    folder.document.write_text(json.dumps(document | {"status": "running", "result": None}))
    again = make_run("run", target=0.8, until_target=True, epochs=10).record()
    assert again.status == "ok" and again.evaluations == before.evaluations


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_accumulated_micro_batches_train_as_the_whole_batch_does(make_run, optimizer):
    settings = {"optimizer": optimizer, "norm": "group", "lr": 0.003, "updates": 7}
    whole, parts = make_run("whole", **settings), make_run("parts", micro_batch=2, **settings)
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(parts)[name], value, rtol=1e-3, atol=1e-4)
    ours, theirs = parts.record(), whole.record()
    assert [e.updates for e in ours.evaluations] == [e.updates for e in theirs.evaluations]
    assert ours.last.train_loss == pytest.approx(theirs.last.train_loss, rel=1e-3)
    assert ours.last.train_top1 == theirs.last.train_top1 and ours.result.images == theirs.result.images


@pytest.mark.slow
def test_drawing_the_noise_scale_leaves_the_run_as_it_is(make_run):
    settings = {"augment": "crop-flip", "model": "resnet18", "norm": "batch", "image_size": 16, "updates": 12}
    plain, watched = make_run("plain", **settings), make_run("watched", noise_scale=True, noise_share=0.99, **settings)
    assert all(torch.equal(value, weights(watched)[name]) for name, value in weights(plain).items())
    same = [dataclasses.replace(e, train_seconds=0, wall_seconds=0) for e in plain.record().evaluations]
    assert [dataclasses.replace(e, train_seconds=0, wall_seconds=0) for e in watched.record().evaluations] == same
    assert watched.record().noise and plain.record().noise == ()
    assert watched.record().result.noise_seconds == pytest.approx(sum(d.seconds for d in watched.record().noise))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"until_target": True}, "until-target: needs a --target"),
        ({"target": 0.5, "until_target": True, "schedule": "cosine"}, "--until-target does not; use constant"),
        ({"seconds": 3.0, "schedule": "linear"}, "--seconds does not; use constant"),
        ({"seconds": 0.0}, "seconds: 0.0 is not a number above 0"),
        ({"micro_batch": 3}, "micro-batch: 3 does not divide the batch size 8"),
        ({"hold": 0}, "hold: 0 is not a number from 1 on"),
    ],
)
def test_budgets_that_contradict_themselves_are_refused(settings, said):
    with pytest.raises(BadInput, match=said):
        RunConfig(data="photos", batch_size=8, **settings)


def test_a_run_that_evaluates_at_every_update_leaves_too_when_it_is_asked(make_run, monkeypatch):
    whole = make_run("whole", epochs=1, eval_images=8)
    monkeypatch.setattr(interruption, "asked", lambda: True)
    for updates in range(1, 7):
        with pytest.raises(Interrupted, match=f"after {updates} of 7 updates"):
            make_run("left", epochs=1, eval_images=8)
    left = make_run("left", epochs=1, eval_images=8)  # after the last update there is nothing left to leave
    assert left.record().status == "ok"
    assert all(torch.equal(ours, weights(whole)[name]) for name, ours in weights(left).items())
