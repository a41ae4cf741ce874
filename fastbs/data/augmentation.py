"""How random numbers become crops and flips, alike for every loader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

PAD = 4  # black pixels on every side of a small image before it is cropped (CIFAR's custom)
AREA = (0.25, 1.0)  # share of a photograph that a random crop keeps; ImageNet's .08 is for 90 epochs and more
RATIO = (3 / 4, 4 / 3)  # width / height of that crop


@dataclass(frozen=True)
class PaddedCrops:
    """crop-flip: pad a small image by PAD, cut out its size again, mirror half of the images."""

    offsets: np.ndarray  # (N, 2) int32: row, column of the crop in the padded image, 0..2*PAD
    flips: np.ndarray  # (N,) bool: left and right exchanged

    @classmethod
    def of(cls, draws: np.ndarray) -> Self:
        return cls((draws[:, :2] * (2 * PAD + 1)).astype(np.int32), draws[:, 4] < 0.5)


@dataclass(frozen=True)
class Windows:
    """random-resized: cut out a random part of a photograph, resize it, mirror half of the images."""

    extents: np.ndarray  # (N, 2) float32: height, width of the window over sqrt(height * width) of the image
    places: np.ndarray  # (N, 2) float32 in [0, 1): where in the room that is left, down and right
    flips: np.ndarray  # (N,) bool

    @classmethod
    def of(cls, draws: np.ndarray) -> Self:
        """Area uniform in AREA, ratio log-uniform in RATIO."""
        area = AREA[0] + (AREA[1] - AREA[0]) * draws[:, 0]
        ratio = RATIO[0] * (RATIO[1] / RATIO[0]) ** draws[:, 1]
        extents = np.stack([np.sqrt(area / ratio), np.sqrt(area * ratio)], axis=1).astype(np.float32)
        return cls(extents, draws[:, 2:4], draws[:, 4] < 0.5)

    def box(self, i: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of window `i` in an image of this size; a side longer than the image is clipped."""
        sides = np.array([height, width])
        relative = np.minimum(self.extents[i] * np.sqrt(height * width) / sides, 1)
        start = self.places[i] * (1 - relative)
        top, left = np.floor(start * sides + 0.5).astype(int)
        bottom, right = np.floor((start + relative) * sides + 0.5).astype(int)
        return int(left), int(top), int(right), int(bottom)


Crops = PaddedCrops | Windows


def crops_of(augment: str, draws: np.ndarray) -> Crops | None:
    """What `augment` makes of the draws (N, DRAWS); None: as in evaluation."""
    if augment == "none":
        return None
    return (PaddedCrops if augment == "crop-flip" else Windows).of(draws)
