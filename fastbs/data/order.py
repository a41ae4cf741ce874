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


def share_of(rows: np.ndarray, batch_size: int, rank: int, ranks: int) -> np.ndarray:
    """What one of several processes sees of an epoch's rows: of each ranks * batch_size of them its own batch_size.

    So the batches of all ranks, side by side, are the batches of one process that sees ranks * batch_size at a time.
    Every rank has equally many whole batches; what does not fill one on all of them is dropped.
    """
    batches = len(rows) // (ranks * batch_size)
    whole = rows[: batches * ranks * batch_size].reshape(batches, ranks, batch_size, *rows.shape[1:])
    return whole[:, rank].reshape(batches * batch_size, *rows.shape[1:])
