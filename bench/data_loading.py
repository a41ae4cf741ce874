"""How fast a loader hands out batches that nothing is done with, in this process."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any, Literal

import torch

from fastbs.bench.training_step import endless, switches
from fastbs.config import Augment, LoaderName, Precision
from fastbs.data.batch import Loader
from fastbs.data.dataset import Dataset
from fastbs.data.loaders import make_loader
from fastbs.data.loaders.chunk_loader import CHUNK
from fastbs.errors import BadInput
from fastbs.measurement.memory import memory_held
from fastbs.measurement.steady import measure_steady
from fastbs.results.files import read_json
from fastbs.training.precision import batch_dtype
from fastbs.worker import Unsupported

TimedLoader = Literal["dali", "resident", "torch-uint8", "torch-float32"]


def measure_loading(
    dataset: str,
    loader: TimedLoader,
    batch_size: int,
    image_size: int,
    augment: Augment,
    precision: Precision,
    device: str,
    threads: int,
    seed: int,
    blocks: int,
    block_seconds: float,
) -> dict[str, Any]:
    """A sample: blocks of training batches, across the ends of epochs; a call of the sample is one batch.

    `dataset` is the file that holds the Dataset; `threads` decode, or are the workers of the DataLoader. The baselines:
    `torch-float32` is a DataLoader that normalises in its workers, as most scripts do; `torch-uint8` sends pixels and
    normalises whole batches, which is the fair one. "first_batch_seconds" is from asking for the first batch until it
    is on the device: threads and workers start in it, and `resident` decodes all images; libraries were imported
    before. Memory and page faults are this process's, without its workers'. DALI builds its graph anew once in 32,768
    images (0.1 s): the median over blocks of fewer images may leave that out. Unsupported where a loader cannot serve.
    """
    images, place = Dataset.from_json(read_json(Path(dataset), "dataset")), torch.device(device)
    torch.set_num_threads(threads)
    opened = open_loader(
        loader,
        images,
        batch_size=batch_size,
        image_size=image_size,
        augment=augment,
        dtype=batch_dtype(precision),
        device=place,
        seed=seed,
        threads=threads,
    )
    with opened:
        batches, burst = endless(opened), batches_at_once(loader, batch_size, threads)

        def take_burst() -> None:
            for _ in range(burst):
                next(batches)

        start = _now(place)
        next(batches)
        first = _now(place) - start
        bursts = measure_steady(take_burst, place, blocks=blocks, block_seconds=block_seconds)
        held = memory_held(place)
    per_batch = [dataclasses.replace(block, calls=block.calls * burst) for block in bursts.blocks]
    steady = dataclasses.replace(bursts, blocks=tuple(per_batch))
    sample = {"images": batch_size, "first_batch_seconds": first, "memory": held, **switches()}
    return steady.to_json() | sample


def open_loader(name: TimedLoader, dataset: Dataset, **settings: Any) -> Loader:
    """The training loader of that name, `settings` as for `make_loader`; nothing is read or started yet."""
    known: LoaderName = "torch" if name == "torch-uint8" or name == "torch-float32" else name
    try:
        loader = make_loader(known, dataset, "train", **settings)
    except BadInput as refusal:
        raise Unsupported(str(refusal)) from refusal
    if name == "torch-float32":
        from fastbs.data.loaders.torch_loader import TorchLoader

        assert isinstance(loader, TorchLoader)
        return TorchLoader(loader.settings, "float32")
    return loader


def batches_at_once(name: TimedLoader, batch_size: int, threads: int) -> int:
    """How many batches a loader finishes together: those of a chunk, or one of each of the DataLoader's workers.

    They are timed together: one by one, most would come for nothing and some after a long wait, and a block shorter
    than that wait would say either.
    """
    return threads if name.startswith("torch") else -(-CHUNK // batch_size)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
