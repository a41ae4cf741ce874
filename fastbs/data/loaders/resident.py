"""Images decoded once and kept as uint8 on the device, augmented there: for sets that fit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from fastbs.data.augmentation import PAD, PaddedCrops, crops_of
from fastbs.data.available_memory import available_memory_bytes
from fastbs.data.dali_graph import image_chunks
from fastbs.data.loaders.chunk_loader import Chunk, ChunkLoader, LoaderSettings
from fastbs.data.preprocessing import MEAN, STD
from fastbs.errors import BadInput
from fastbs.kernels.augment import augment

SHARE = 0.5  # of the memory that is free: the rest is for the net
DECODE = 256  # images decoded at a time


class ResidentLoader(ChunkLoader):
    """Holds images * side * side * 3 bytes from its first batch to `close`."""

    def __init__(self, settings: LoaderSettings) -> None:
        super().__init__(settings)
        if settings.augment == "random-resized":
            raise BadInput("augment: random-resized needs whole photographs, resident keeps squares; use loader dali")
        needed = len(settings.listing) * settings.image_size**2 * 3
        available = available_memory_bytes(settings.device)
        if needed > SHARE * available:
            raise BadInput(
                f"loader: resident would keep {needed / 1e9:.1f} GB of images, and {available / 1e9:.1f} GB are free; "
                "use loader dali or smaller images"
            )
        self._kept: Chunk | None = None

    def close(self) -> None:
        super().close()
        self._kept = None

    def _chunks(self, epoch: int, batch: int) -> Iterator[Chunk]:
        settings, step = self.settings, self.settings.chunk_size
        if self._kept is None:
            self._kept = self._decode()
        images, labels = self._kept
        start = batch * settings.batch_size
        while True:
            order, offsets, flips = (torch.from_numpy(part).to(settings.device) for part in self._epoch(epoch))
            for at in range(start, settings.images, step):
                part = slice(at, min(at + step, settings.images))
                augmented = augment(
                    images,
                    order[part],
                    offsets[part],
                    flips[part],
                    pad=PAD if settings.augment == "crop-flip" else 0,
                    mean=MEAN,
                    std=STD,
                    dtype=settings.dtype,
                )
                yield augmented, labels[order[part]]
            epoch, start = epoch + 1, 0

    def _epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Image numbers (n,), offsets (n, 2) and flips (n,) of an epoch."""
        settings = self.settings
        order = settings.order(epoch) if settings.training else np.arange(settings.images)
        crops = crops_of(settings.augment, settings.draws(epoch)) if settings.training else None
        if isinstance(crops, PaddedCrops):
            return order, crops.offsets, crops.flips
        return order, np.zeros((len(order), 2), np.int32), np.zeros(len(order), bool)

    def _decode(self) -> Chunk:
        """All images (N, S, S, 3) uint8 and their labels (N,), in the order of the data set."""
        settings, side, listed = self.settings, self.settings.image_size, len(self.settings.listing)
        images = torch.empty((listed, side, side, 3), dtype=torch.uint8, device=settings.device)
        stream = image_chunks(
            settings.dataset.root,
            settings.listing.files,
            settings.listing.labels,
            chunk=min(DECODE, listed),
            image_size=side,
            output="uint8",
            device=settings.device,
            threads=settings.threads,
        )
        for at, (chunk, _) in zip(range(0, listed, DECODE), stream, strict=False):
            images[at : at + len(chunk)] = chunk
        return images, torch.tensor(settings.listing.labels, device=settings.device)
