import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fastbs import worker
from fastbs.bench import data_loading
from fastbs.bench.data_loading import batches_at_once, measure_loading, open_loader
from fastbs.bench.training_step import endless
from fastbs.data.batch import Batch
from fastbs.data.check import verified_dataset
from fastbs.data.loaders.chunk_loader import LoaderSettings
from fastbs.measurement.steady import Block, Steady
from fastbs.results.files import write_json
from fastbs.worker import Unsupported

LOADERS = ("dali", "resident", "torch-uint8", "torch-float32")
SETTINGS = {
    "image_size": 16,
    "augment": "crop-flip",
    "precision": "fp32",
    "device": "cpu",
    "threads": 1,
    "seed": 0,
    "blocks": 2,
    "block_seconds": 0.02,
}


@pytest.fixture(scope="module")
def dataset(photos):
    return verified_dataset(photos)


@pytest.fixture(scope="module")
def file(dataset, tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / "dataset.json"
    write_json(path, dataset.to_json())
    return str(path)


@pytest.mark.parametrize("loader", LOADERS)
def test_every_loader_has_a_rate_and_a_first_batch(file, loader):
    sample = measure_loading(file, loader, 8, **SETTINGS)
    assert sample["images"] == 8 and len(sample["blocks"]) == 2
    assert all(calls > 0 and seconds > 0 for calls, seconds, _, _ in sample["blocks"])
    assert sample["first_batch_seconds"] > 0
    assert sample["memory"]["resident_bytes"] > 0


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("batch_size", [1, 24])
def test_calls_times_images_is_what_was_handed_out(file, loader, batch_size, monkeypatch):
    handed_out = []

    def counted(loader):
        for batch in endless(loader):
            handed_out.append(len(batch.labels))
            yield batch

    def three_calls(call, device, *, blocks, block_seconds):
        handed_out.clear()
        for _ in range(3):
            call()
        return Steady((Block(2, 1.0, 0, None), Block(1, 0.5, 0, None)), None, None, None, None)

    monkeypatch.setattr(data_loading, "endless", counted)
    monkeypatch.setattr(data_loading, "measure_steady", three_calls)
    sample = measure_loading(file, loader, batch_size, **SETTINGS | {"threads": 2})
    assert sum(calls for calls, *_ in sample["blocks"]) * sample["images"] == sum(handed_out) > 0


@pytest.mark.parametrize(("loader", "threads"), [("dali", 1), ("torch-uint8", 3)])
def test_bursts_fool_no_block(file, loader, threads, monkeypatch):
    """On a simulated clock only the first batch of each burst takes time, and more than a block: all blocks agree."""
    now, burst = [0.0], batches_at_once(loader, 16, threads)

    class Bursts:
        def __iter__(self):
            for place in range(burst):
                now[0] += 2.0 if place == 0 else 0.0
                yield Batch(torch.zeros(16, 3, 1, 1), torch.zeros(16))

        def __enter__(self):
            return self

        def __exit__(self, *error): ...

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(data_loading, "open_loader", lambda *_, **__: Bursts())
    sample = measure_loading(file, loader, 16, **SETTINGS | {"threads": threads, "block_seconds": 0.5, "blocks": 5})
    assert burst > 1
    assert {seconds / calls for calls, seconds, _, _ in sample["blocks"]} == {2.0 / burst}


@given(batch_size=st.integers(1, 300), threads=st.integers(1, 64))
def test_a_burst_is_a_chunk_or_a_batch_of_each_worker(batch_size, threads):
    given = dict.fromkeys(("dataset", "split", "image_size", "augment", "dtype", "device", "seed"))
    chunk = LoaderSettings(batch_size=batch_size, threads=threads, **given).chunk_size
    for loader in ("dali", "resident"):
        assert batches_at_once(loader, batch_size, threads) * batch_size == chunk
    for loader in ("torch-uint8", "torch-float32"):
        assert batches_at_once(loader, batch_size, threads) == threads


@pytest.mark.parametrize("loader", LOADERS)
def test_a_batch_that_no_epoch_can_fill_is_unsupported(file, loader):
    with pytest.raises(Unsupported, match="batch-size: 61 is more than the 60 training images"):
        measure_loading(file, loader, 61, **SETTINGS)


def test_an_impossible_loader_becomes_a_row_with_its_reason(file):
    arguments = SETTINGS | {"dataset": file, "loader": "resident", "batch_size": 8, "augment": "random-resized"}
    outcome = worker.call("fastbs.bench.data_loading:measure_loading", arguments, threads=1)
    assert outcome.status == "unsupported" and outcome.value is None
    assert "random-resized" in outcome.reason


def test_only_the_naive_baseline_normalises_in_its_workers(dataset):
    settings = {"batch_size": 4, "image_size": 16, "augment": "none", "dtype": torch.float32, "seed": 0, "threads": 1}
    for name in ("torch-uint8", "torch-float32"):
        loader = open_loader(name, dataset, device=torch.device("cpu"), **settings)
        assert loader.transport == name.removeprefix("torch-")
