"""The augmentation bench times a batch of the kept images, against a stream that moves as much."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fastbs.bench import augmentation
from fastbs.bench.augmentation import BATCHES, as_table, measure_augmentation, stream

GIVEN = {"device": "cpu", "threads": 1, "blocks": 2, "block_seconds": 0.001}


class Traffic(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.operators, self.moved = 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **kwargs or {})
        self.operators += 1
        self.moved += args[0].nbytes + made.nbytes
        return made


@pytest.mark.parametrize(("dtype", "number_format"), [(torch.bfloat16, "bf16"), (torch.float32, "fp32")])
def test_the_stream_moves_a_batch_once_in_one_operator(dtype, number_format, monkeypatch):
    monkeypatch.setattr("fastbs.measurement.steady.WARM_UP", 0.0)
    sample = measure_augmentation(4, 6, number_format, **GIVEN)
    images = torch.randint(0, 256, (BATCHES * 4, 6, 6, 3), dtype=torch.uint8)
    move = stream(images, 4, dtype)
    with Traffic() as traffic:
        first = move()
    assert (traffic.operators, traffic.moved) == (1, sample["bytes"])
    assert torch.equal(first, images[:4].to(dtype)) and torch.equal(move(), images[4:8].to(dtype))
    assert sample["seconds"] > 0 and sample["stream_seconds"] > 0 and sample["host_seconds"] is None


def test_what_is_timed_is_one_batch_after_the_other(monkeypatch):
    monkeypatch.setattr("fastbs.measurement.steady.WARM_UP", 0.0)
    seen = []

    def augment(images, indices, offsets, flips, **given):
        seen.append((len(images), tuple(indices.tolist()), offsets.shape, flips.shape))
        return torch.empty(0)

    monkeypatch.setattr(augmentation, "augment", augment)
    measure_augmentation(3, 5, "bf16", **GIVEN)
    assert {(kept, offsets, flips) for kept, _, offsets, flips in seen} == {(48, (3, 2), (3,))}
    assert len({indices for _, indices, _, _ in seen}) == BATCHES


def test_a_row_is_the_mean_over_processes_and_the_share_of_the_stream():
    sample = {"bytes": 4000, "launches": 1, "host_seconds": None}
    row = augmentation._row(
        {0: sample | {"seconds": 2e-6, "stream_seconds": 1e-6}, 1: sample | {"seconds": 8e-6, "stream_seconds": 4e-6}}
    )
    assert row["us"] == pytest.approx(4) and row["gb_per_second"] == pytest.approx(1)
    assert row["stream_share"] == pytest.approx(0.5) and row["launches"] == 1 and row["host_us"] is None
    text = as_table([row | {"image_size": 32, "batch_size": 128, "format": "bf16"}])
    assert "50 %" in text and "32 px" in text and "4.00 [" in text
