"""What every loader gives: batches on the device, epoch after epoch, from a position that can be saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol, Self

import torch


class Batch(NamedTuple):
    """Images that are used together; valid for as long as they are held."""

    images: torch.Tensor  # (B, 3, H, W) channels_last, normalised, in the compute dtype, on the device
    labels: torch.Tensor  # (B,) int64 on the device


class Loader(Protocol):
    """The contract of `dali`, `resident`, `torch` and `synthetic`; it has one consumer and one position.

    Iterating gives the batches from the position to the end of its epoch: the whole epoch, or, after a break or a
    `load_state_dict` in the middle of one, the rest of it. Iterating again gives the next epoch.

    Training shuffles each epoch anew by the seed and drops the images that do not fill a batch. The order does not
    depend on the batch size: smaller batches cut the same order into smaller pieces, and so do the augmentations.
    Evaluation gives every image once, in the order of the data set; its last batch is as small as need be.
    """

    def __len__(self) -> int:
        """Batches in an epoch."""

    def __iter__(self) -> Iterator[Batch]: ...

    def state_dict(self) -> dict[str, Any]:
        """The position after the batch handed out last, as plain values."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue there, bit for bit. ValueError if `state` belongs to another batch size, data set or seed."""

    def prepare(self) -> None:
        """Build what is needed and fetch the first images, so that the first batch costs no more than any other."""

    def close(self) -> None:
        """Free threads, processes and buffers. Iterating again would build them anew, at the same position."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...
