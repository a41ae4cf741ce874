import tempfile

import pytest

from fastbs.analysis.hit import find_hit
from fastbs.bench import accuracy
from fastbs.bench.accuracy import measure_accuracy
from fastbs.config import RunConfig
from fastbs.data.check import verified_dataset
from fastbs.measurement.machine import machine
from fastbs.results.files import write_json
from fastbs.results.run_folder import RunFolder
from fastbs.training.resolve import resolve


@pytest.fixture
def measure(photos, tmp_path, monkeypatch):
    """measure(target, **settings) -> sample, evaluations of its run; temporary files go to tmp_path/scratch."""
    dataset, file = verified_dataset(photos).to_json(), tmp_path / "dataset.json"
    write_json(file, dataset)
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    recorded, plain = [], accuracy.train

    def train(config, dataset, folder, *args):
        status = plain(config, dataset, folder, *args)
        recorded[:] = RunFolder(tmp_path / "scratch" / folder).evaluations()
        return status

    monkeypatch.setattr(accuracy, "train", train)

    def run(target, **settings):
        asked = {
            "batch_size": 8,
            "epochs": 4,
            "eval_images": 16,
            "threads": 1,
            "loader_threads": 1,
            "hold": 1,
        } | settings
        config = resolve(RunConfig(data=str(photos), **asked).to_json(), dataset)["run"]
        return measure_accuracy(config, str(file), target, machine()), list(recorded)

    return run


def test_time_to_target_is_that_of_the_hit(measure):
    _, evaluations = measure(0.5)
    middle = sorted({e.top1 for e in evaluations})[1]  # reached, but not at once
    for target in (0.0, middle, max(e.top1 for e in evaluations), 1.01):
        sample, evaluations = measure(target)
        hit = find_hit(evaluations, target, 1)
        assert sample["time_to_target_seconds"] == (hit.train_seconds if hit else None)
        assert sample["target"] == target
        assert (sample["time_to_target_seconds"] is None) == (target > 1)
        assert sample["top1"] == evaluations[-1].top1
        assert sample["updates"] == evaluations[-1].updates == 4 * (60 // 8)
        assert evaluations[-1].train_seconds <= sample["train_seconds"] * (1 + 1e-9)


def test_the_seed_of_the_configuration_decides_the_accuracies(measure):
    first, again, other = ([e.train_loss for e in measure(0.9, seed=seed, epochs=1)[1]] for seed in (0, 0, 1))
    assert first == again != other


def test_nothing_is_left_on_disk(measure, tmp_path):
    measure(0.9, epochs=1)
    assert not list((tmp_path / "scratch").iterdir())


def test_a_diverged_run_has_no_accuracy(measure):
    with pytest.raises(FloatingPointError, match="diverged: the .* loss was not finite after"):
        measure(0.9, lr=1e30)
