"""Small data sets whose images can be told apart, and a short way to make loaders of them."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fastbs.data.batch import Batch, Loader
from fastbs.data.dataset import Dataset, Split
from fastbs.data.loaders import make_loader

SETTINGS = {
    "split": "train",
    "batch_size": 8,
    "image_size": 32,
    "augment": "none",
    "dtype": torch.float32,
    "device": torch.device("cpu"),
    "seed": 0,
    "threads": 2,
}


def write_dataset(root: Path, images: list[Image.Image], suffix: str, train: int, **save: object) -> Dataset:
    """The first `train` images train, the rest validates; the label of image i is i % 3."""
    names = [f"{'abc'[i % 3]}/{i:03}{suffix}" for i in range(len(images))]
    for name, image in zip(names, images, strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(root / name, **save)
    labels = tuple(i % 3 for i in range(len(images)))
    sides = (Split(tuple(names[part]), labels[part]) for part in (slice(train), slice(train, None)))
    return Dataset(str(root), ("a", "b", "c"), *sides, None, "folders", 32, 32, "0123456789abcdef")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """50 + 21 noise images of 32x32, PNG; the first pixel's red is the image's number."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (71, 32, 32, 3), dtype=np.uint8)
    pixels[:, 0, 0, 0] = np.arange(71)
    return write_dataset(tmp_path_factory.mktemp("small"), [Image.fromarray(p) for p in pixels], ".png", 50)


def photographs_of(sizes: list[tuple[int, int]]) -> list[Image.Image]:
    """Smooth colour fields with a sharp square, of these widths and heights."""
    images = []
    for i, (width, height) in enumerate(sizes):
        y, x = np.mgrid[:height, :width] / 37 + i
        waves = np.stack([np.sin(x + y), np.cos(2 * y), np.sin(x - y / 2)], axis=-1)
        pixels = (127 + 100 * waves).astype(np.uint8)
        pixels[height // 3 : height // 2, width // 3 : width // 2] = (255, 0, i)
        images.append(Image.fromarray(pixels))
    return images


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """12 + 12 PNG of many shapes, smaller and larger than what is asked for."""
    shapes = [(150, 150), (200, 150), (151, 233), (130, 400), (97, 101), (146, 146)]
    return write_dataset(tmp_path_factory.mktemp("photographs"), photographs_of(shapes * 4), ".png", 12)


@pytest.fixture(scope="session")
def rotated_jpegs(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """6 + 6 JPEG with chroma subsampling, grey ones among them, that EXIF says to turn by 90 degrees."""
    images = photographs_of([(150, 150), (200, 150), (151, 233)] * 4)
    images[::4] = [image.convert("L") for image in images[::4]]
    exif = Image.Exif()
    exif[0x0112] = 6
    return write_dataset(tmp_path_factory.mktemp("jpegs"), images, ".jpg", 6, quality=90, exif=exif)


@pytest.fixture
def loader() -> Iterator[Callable[..., Loader]]:
    """loader(name, dataset, **settings other than SETTINGS); closed at the end of the test."""
    opened: list[Loader] = []

    def make(name: str, dataset: Dataset, **settings: object) -> Loader:
        settings = SETTINGS | settings
        opened.append(make_loader(name, dataset, settings.pop("split"), **settings))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@pytest.fixture
def batches() -> Callable[[Loader, int], list[Batch]]:
    """batches(loader, n): the next n batches, over the ends of epochs."""

    def take(loader: Loader, n: int) -> list[Batch]:
        def endless() -> Iterator[Batch]:
            while True:
                yield from loader

        return list(islice(endless(), n))

    return take


@pytest.fixture
def numbers() -> Callable[[list[Batch]], list[int]]:
    """Which images of `small` these batches hold, in order (float32, not augmented)."""

    def read(batches: list[Batch]) -> list[int]:
        red = torch.cat([batch.images[:, 0, 0, 0] for batch in batches])
        return (red * 255 * 0.229 + 255 * 0.485).round().int().tolist()

    return read
