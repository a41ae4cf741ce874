"""Images read and decoded by DALI: the default.

An epoch is one pass over a list of files in our order. Lists of several epochs are joined, so that DALI reads ahead
across the ends of epochs; only paths are held in memory, of about SEGMENT images or one epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch

from fastbs.data.augmentation import Crops, crops_of
from fastbs.data.dali_graph import image_chunks
from fastbs.data.loaders.chunk_loader import Chunk, ChunkLoader

SEGMENT = 32_768  # images: at the first end of an epoch after so many, the graph is built anew (0.1 s)


class DaliLoader(ChunkLoader):
    """HWC half (float for a float32 net), seen as NCHW channels_last without a copy; bfloat16 is cast from half."""

    def _chunks(self, epoch: int, batch: int) -> Iterator[Chunk]:
        start = batch * self.settings.batch_size
        while self.settings.training:
            order, crops, epoch = self._segment(epoch, start)
            yield from self._once(order, crops)
            start = 0
        whole = np.arange(self.settings.images)
        if start:
            yield from self._once(whole[start:], None)
        yield from self._forever(whole, None)

    def _segment(self, epoch: int, start: int) -> tuple[np.ndarray, Crops | None, int]:
        """Image numbers and crops from image `start` of `epoch` on, for whole epochs, and the epoch after them."""
        settings = self.settings
        orders: list[np.ndarray] = []
        draws: list[np.ndarray] = []
        left = SEGMENT
        while left > 0:
            orders.append(settings.order(epoch)[start:])
            draws.append(settings.draws(epoch)[start:])
            left -= len(orders[-1])
            epoch, start = epoch + 1, 0
        return np.concatenate(orders), crops_of(settings.augment, np.concatenate(draws)), epoch

    def _once(self, order: np.ndarray, crops: Crops | None) -> Iterator[Chunk]:
        return islice(self._forever(order, crops), -(-len(order) // self._chunk_size(order)))

    def _forever(self, order: np.ndarray, crops: Crops | None) -> Iterator[Chunk]:
        """Chunks of the images in this order, pass after pass."""
        settings = self.settings
        stream = image_chunks(
            settings.dataset.root,
            [settings.listing.files[i] for i in order],
            [settings.listing.labels[i] for i in order],
            crops,
            chunk=self._chunk_size(order),
            image_size=settings.image_size,
            output="float32" if settings.dtype == torch.float32 else "float16",
            device=settings.device,
            threads=settings.threads,
        )
        for images, labels in stream:
            yield images.permute(0, 3, 1, 2).to(settings.dtype), labels

    def _chunk_size(self, order: np.ndarray) -> int:
        """Whole batches, or all that there is."""
        return min(self.settings.chunk_size, len(order))
