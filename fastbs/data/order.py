"""Which image comes when, and with which random numbers: a function of seed and epoch, and of nothing else."""

from __future__ import annotations

import numpy as np

DRAWS = 5  # random numbers per image: enough for every augmentation


def epoch_order(seed: int, epoch: int, images: int) -> np.ndarray:
    """(images,) int64: a full shuffle of 0..images-1, the same for every batch size and loader."""
    return np.random.default_rng((seed, epoch, 0)).permutation(images)


def epoch_draws(seed: int, epoch: int, images: int) -> np.ndarray:
    """(images, DRAWS) float32 in [0, 1): row i belongs to the i-th image of the epoch."""
    return np.random.default_rng((seed, epoch, 1)).random((images, DRAWS), dtype=np.float32)
