"""PyTorch's DataLoader with PIL in worker processes: what users know, and the baseline.

Workers decode and crop; they never touch the GPU. They start in the way that is Python's default, stay from the first
batch to `close`, and load ahead across the ends of epochs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset

from fastbs.data.augmentation import PAD, PaddedCrops, Windows, crops_of
from fastbs.data.loaders.chunk_loader import Chunk, ChunkLoader, LoaderSettings
from fastbs.data.preprocessing import MEAN, STD, shorter_side

Transport = Literal["uint8", "float32"]
Item = tuple[int, np.ndarray | None]  # image number and its draws
MEAN_32, SCALE_32 = np.array(MEAN, np.float32), 1 / np.array(STD, np.float32)


class TorchLoader(ChunkLoader):
    """`uint8`: workers send pixels, batches are normalised here. `float32`: workers normalise, as most scripts do."""

    def __init__(self, settings: LoaderSettings, transport: Transport = "uint8") -> None:
        super().__init__(settings)
        self.transport = transport

    def _chunks(self, epoch: int, batch: int) -> Iterator[Chunk]:
        settings = self.settings
        batches: DataLoader[tuple[torch.Tensor, int]] = DataLoader(
            PilImages(settings, self.transport),
            batch_sampler=self._batches(epoch, batch),
            num_workers=settings.threads,
            pin_memory=settings.device.type == "cuda",
        )
        for images, labels in batches:
            yield self._finished(images), labels.to(settings.device, non_blocking=True)

    def _batches(self, epoch: int, batch: int) -> Iterator[list[Item]]:
        """The items of each batch from that position on, without end."""
        settings = self.settings
        start = batch * settings.batch_size
        while True:
            items: list[Item] = [(i, None) for i in range(settings.images)]
            if settings.training:
                items = list(zip(settings.order(epoch).tolist(), settings.draws(epoch), strict=True))
            for at in range(start, settings.images, settings.batch_size):
                yield items[at : at + settings.batch_size]
            epoch, start = epoch + 1, 0

    def _finished(self, images: torch.Tensor) -> torch.Tensor:
        """On the device, normalised, in the compute dtype, channels_last."""
        settings = self.settings
        images = images.to(settings.device, non_blocking=True)
        if self.transport == "uint8":
            mean, scale = (torch.from_numpy(v).to(settings.device) for v in (MEAN_32, SCALE_32))
            images = ((images - mean) * scale).permute(0, 3, 1, 2)
        return images.to(settings.dtype, memory_format=torch.channels_last)


class PilImages(Dataset[tuple[torch.Tensor, int]]):
    """An image, cropped and mirrored, with its label: (S, S, 3) uint8, or normalised (3, S, S) float32."""

    def __init__(self, settings: LoaderSettings, transport: Transport) -> None:
        self.settings = settings
        self.transport = transport

    def __getitem__(self, item: Item) -> tuple[torch.Tensor, int]:
        index, draws = item
        with Image.open(f"{self.settings.dataset.root}/{self.settings.listing.files[index]}") as file:
            ImageOps.exif_transpose(file, in_place=True)
            image = file.convert("RGB")
        crops = None if draws is None else crops_of(self.settings.augment, draws[None])
        side = self.settings.image_size
        if isinstance(crops, Windows):
            window = image.crop(crops.box(0, image.height, image.width))
            pixels = np.asarray(window.resize((side, side), Image.Resampling.BILINEAR))
        else:
            pixels = central_square(image, side)
        if isinstance(crops, PaddedCrops):
            row, column = crops.offsets[0]
            pixels = np.pad(pixels, ((PAD, PAD), (PAD, PAD), (0, 0)))[row : row + side, column : column + side]
        if crops is not None and crops.flips[0]:
            pixels = pixels[:, ::-1]
        if self.transport == "float32":
            pixels = ((pixels - MEAN_32) * SCALE_32).transpose(2, 0, 1)
        return torch.from_numpy(pixels.copy()), self.settings.listing.labels[index]


def central_square(image: Image.Image, side: int) -> np.ndarray:
    """(side, side, 3) uint8: the evaluation view of an image."""
    scale = shorter_side(side) / min(image.size)
    width, height = (int(length * scale + 0.5) for length in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = int((width - side) / 2 + 0.5), int((height - side) / 2 + 0.5)
    return np.asarray(image.crop((left, top, left + side, top + side)))
