"""A loader's position, and batches cut from larger chunks.

What costs time per batch and not per image (a DALI run costs 0.3 ms) is paid once for a chunk of several batches;
a batch is a view of its chunk. At batch size 1 this makes DALI five times faster.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import torch

from fastbs.config import Augment
from fastbs.data.batch import Batch
from fastbs.data.dataset import Dataset, Split
from fastbs.data.order import epoch_draws, epoch_order, share_of

CHUNK = 64  # images: a chunk holds at least so many, in whole batches
Chunk = tuple[torch.Tensor, torch.Tensor]  # images (n, 3, H, W) and labels (n,) of several batches


@dataclass(frozen=True, kw_only=True)
class LoaderSettings:
    """Which batches: everything that a loader is told."""

    dataset: Dataset
    split: Literal["train", "validation"]
    batch_size: int  # of this rank
    image_size: int  # side of the square images, pixels
    augment: Augment
    dtype: torch.dtype
    device: torch.device
    seed: int
    threads: int  # that decode, or worker processes
    rank: int = 0  # which of ...
    ranks: int = 1  # ... so many processes that share every epoch

    @property
    def training(self) -> bool:
        return self.split == "train"

    @cached_property
    def listing(self) -> Split:
        """All training images, which every rank shuffles alike; of validation, the images of this rank."""
        if self.training:
            return self.dataset.train
        own, split = slice(self.rank, None, self.ranks), self.dataset.validation
        return Split(split.files[own], split.labels[own])

    @property
    def chunk_size(self) -> int:
        """Images in a chunk: whole batches."""
        return -(-CHUNK // self.batch_size) * self.batch_size

    @property
    def images(self) -> int:
        """Images handed out per epoch, on this rank."""
        count = len(self.listing)
        return count // self.global_batch_size * self.batch_size if self.training else count

    @property
    def global_batch_size(self) -> int:
        return self.ranks * self.batch_size

    def order(self, epoch: int) -> np.ndarray:
        """(images,) int64: the numbers of the training images of that epoch, on this rank."""
        return self._own(epoch_order(self.seed, epoch, len(self.listing)))

    def draws(self, epoch: int) -> np.ndarray:
        """(images, DRAWS) float32: their random numbers."""
        return self._own(epoch_draws(self.seed, epoch, len(self.listing)))

    def _own(self, rows: np.ndarray) -> np.ndarray:
        return share_of(rows, self.batch_size, self.rank, self.ranks)

    def identity(self) -> dict[str, Any]:
        """What must be equal for a position to mean the same: on every rank, and on any number of them."""
        return {
            "dataset": self.dataset.fingerprint,
            "split": self.split,
            "batch_size": self.global_batch_size,
            "image_size": self.image_size,
            "augment": self.augment,
            "seed": self.seed,
        }


class ChunkLoader(ABC):
    """The `Loader` contract over a stream of chunks."""

    def __init__(self, settings: LoaderSettings) -> None:
        self.settings = settings
        self.epoch, self.batch = 0, 0  # of the batch handed out next
        self._stream: Iterator[Chunk] | None = None
        self._rest: Chunk | None = None

    @abstractmethod
    def _chunks(self, epoch: int, batch: int) -> Iterator[Chunk]:
        """Chunks from that position on, epoch after epoch without end.

        Images (n, 3, H, W) and labels (n,), n a multiple of the batch size, but for the end of an evaluation epoch.
        """

    def __len__(self) -> int:
        return -(-self.settings.images // self.settings.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        epoch = self.epoch
        while self.epoch == epoch:
            yield self._next()

    def prepare(self) -> None:
        if self._rest is None:
            self._rest = self._fetch()

    def _fetch(self) -> Chunk:
        if self._stream is None:
            self._stream = self._chunks(self.epoch, self.batch)
        return next(self._stream)

    def _next(self) -> Batch:
        images, labels = self._fetch() if self._rest is None else self._rest
        size, self._rest = self.settings.batch_size, None
        if len(labels) > size:  # a slice costs microseconds, which count at batch size 1
            self._rest = images[size:], labels[size:]
            images, labels = images[:size], labels[:size]
        self.batch += 1
        if self.batch == len(self):
            self.epoch, self.batch = self.epoch + 1, 0
        return Batch(images, labels)

    def state_dict(self) -> dict[str, Any]:
        return self.settings.identity() | {"epoch": self.epoch, "batch": self.batch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for key, value in self.settings.identity().items():
            if state[key] != value:
                raise ValueError(f"loader state: {key} is {state[key]!r}, here it is {value!r}; continue with the same")
        self._stop_stream()
        self.epoch, self.batch = state["epoch"], state["batch"]

    def close(self) -> None:
        self._stop_stream()

    def _stop_stream(self) -> None:
        self._stream = self._rest = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
