"""One random batch, handed out again and again: what a step could do if input cost nothing."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from fastbs.data.loaders.chunk_loader import Chunk, ChunkLoader


class SyntheticLoader(ChunkLoader):
    """As many batches per epoch as the data set would give; the seed makes the batch."""

    def _chunks(self, epoch: int, batch: int) -> Iterator[Chunk]:
        settings, size = self.settings, min(self.settings.batch_size, self.settings.images)
        random = torch.Generator().manual_seed(settings.seed)
        everyones = settings.ranks * size
        images = torch.randn((everyones, 3, settings.image_size, settings.image_size), generator=random)
        labels = torch.randint(len(settings.dataset.classes), (everyones,), generator=random)
        own = slice(settings.rank * size, (settings.rank + 1) * size)
        images = images[own].to(settings.device, settings.dtype, memory_format=torch.channels_last)
        labels = labels[own].to(settings.device)
        while True:
            left = settings.images - self.batch * settings.batch_size
            yield (images, labels) if left >= size else (images[:left], labels[:left])
