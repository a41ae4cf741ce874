"""Resident uint8 images to a batch: by our kernel on a GPU with Triton, by the reference elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch

from fastbs.kernels import augment_reference
from fastbs.kernels.availability import kernel_runs_on, triton_format

BLOCK = 1024  # numbers per program. Not tuned on a card
FORMATS = (torch.float32, torch.bfloat16, torch.float16)


def augment(
    images_u8: torch.Tensor,
    indices: torch.Tensor,
    offsets: torch.Tensor,
    flips: torch.Tensor,
    *,
    pad: int,
    mean: Sequence[float],
    std: Sequence[float],
    dtype: torch.dtype,
) -> torch.Tensor:
    """What `augment_reference.augment` does, for the same arguments, bit for bit.

    The kernel does not look whether `indices` are within 0..N-1; the reference does.
    """
    readable = images_u8.is_contiguous() and images_u8.shape[-1] == 3
    if dtype not in FORMATS or not readable or not kernel_runs_on(images_u8.device):
        return augment_reference.augment(images_u8, indices, offsets, flips, pad=pad, mean=mean, std=std, dtype=dtype)
    from fastbs.kernels.augment_kernel import augment_kernel

    _, height, width, channels = images_u8.shape
    batch = torch.empty((len(indices), height, width, channels), dtype=dtype, device=images_u8.device)
    if batch.numel():
        grid = (len(indices), -(-batch[0].numel() // BLOCK))
        arguments = [tensor.contiguous() for tensor in (indices, offsets, flips.bool().view(torch.uint8))]
        numbers = (*map(float, mean), *_reciprocals(tuple(std)))
        sizes = {"HEIGHT": height, "WIDTH": width, "FORMAT": triton_format(dtype), "BLOCK": BLOCK}
        with torch.cuda.device_of(images_u8):  # where Triton launches
            augment_kernel[grid](images_u8, *arguments, batch, pad, *numbers, **sizes)
    return batch.permute(0, 3, 1, 2)


@lru_cache
def _reciprocals(std: tuple[float, ...]) -> tuple[float, ...]:
    """As fp32 has them."""
    return tuple(torch.tensor(std).reciprocal().tolist())
