"""Synthetic images of any number and size that can be learned, but not at a glance."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fastbs.data.new_folder import new_folder
from fastbs.errors import BadInput

if TYPE_CHECKING:
    import numpy as np

FORMATS = {"jpeg": "jpg", "png": "png"}  # format -> extension
JPEG_QUALITY = 90
WAVES = (2.0, 6.0)  # stripes across an image, drawn anew for each image
NOISE = 0.15  # standard deviation, of a range of 1
TINT = 0.1  # how far an image is from grey along the colour axis of its class, either way: the mean image is grey


def make_synthetic(
    target: Path,
    *,
    images: int = 600,
    classes: int = 6,
    size: int = 64,
    seed: int = 0,
    format: str = "jpeg",
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write `images` square RGB images of `size` pixels into `target/class-00`, ...; returns their number.

    A class is an orientation of stripes and an axis of slight tint; phase, width, contrast and noise differ from image
    to image. Image i is of class i mod `classes` and depends on nothing but seed, i, classes and size.
    """
    if format not in FORMATS:
        raise BadInput(f"format {format}: unknown; one of {', '.join(FORMATS)}")
    if classes < 2 or images < 2 * classes:
        raise BadInput(f"{images} images of {classes} classes: at least two classes and two images of each are needed")
    if size < 8:
        raise BadInput(f"size {size}: too small to show stripes; at least 8 pixels")
    from PIL import Image

    with new_folder(target) as folder:
        names = [f"class-{label:0{max(2, len(str(classes - 1)))}d}" for label in range(classes)]
        for name in names:
            (folder / name).mkdir()
        for number in range(images):
            label = number % classes
            pixels = stripes(label / classes, size, [seed, number])
            file = f"{number // classes:06d}.{FORMATS[format]}"
            Image.fromarray(pixels).save(folder / names[label] / file, quality=JPEG_QUALITY)  # lossless for PNG
            if progress:
                progress(number + 1, images)
    return images


def stripes(class_position: float, size: int, seed: list[int]) -> np.ndarray:
    """One image, (size, size, 3) uint8. `class_position` in [0, 1) is the orientation in half turns and the hue."""
    import numpy as np

    random = np.random.default_rng(seed)
    angle = math.pi * class_position
    y, x = np.mgrid[:size, :size] / size
    phase = 2 * math.pi * (random.uniform(*WAVES) * (x * math.cos(angle) + y * math.sin(angle)) + random.uniform())
    tint = np.array(colorsys.hsv_to_rgb(class_position, 1, 1)) - 0.5
    grey = random.uniform(0.4, 0.6) + random.uniform(0.1, 0.3) * np.sin(phase)
    image = grey[..., None] + TINT * random.normal() * tint + random.normal(0, NOISE, (size, size, 3))
    return np.asarray((image.clip(0, 1) * 255).round(), dtype=np.uint8)
