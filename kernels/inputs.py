"""What kernels are fed with, in tests and in benches alike: parameters as a net has them, and gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def filled(
    like: Tensor,
    device: torch.device | str,
    *,
    generator: torch.Generator | None = None,
    offset: int = 0,
) -> nn.Parameter:
    """An fp32 parameter with shape and strides of `like`, and a gradient of the same; values are standard normal.

    `offset` is how many numbers weight and gradient begin behind an address that is a multiple of 64 bytes. The values
    come from `generator`, or from torch's global one.
    """
    parameter = nn.Parameter(_standard_normal(like, device, generator, offset))
    parameter.grad = _standard_normal(like, device, generator, offset)
    return parameter


def images_and_crops(
    images: int, batch: int, size: tuple[int, int], pad: int, device: torch.device | str, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """uint8 images (images, *size, 3), and of a batch: indices, offsets (batch, 2) in 0..2*pad, flips; all random."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (images, *size, 3), dtype=torch.uint8, generator=generator)
    indices = torch.randint(0, images, (batch,), generator=generator)
    offsets = torch.randint(0, 2 * pad + 1, (batch, 2), dtype=torch.int32, generator=generator)
    flips = torch.randint(0, 2, (batch,), generator=generator).bool()
    return pixels.to(device), indices.to(device), offsets.to(device), flips.to(device)


def _standard_normal(
    like: Tensor, device: torch.device | str, generator: torch.Generator | None, offset: int
) -> Tensor:
    buffer = torch.empty(like.numel() + offset, device=device)
    return buffer.as_strided(like.shape, torch.empty_like(like, device="meta").stride(), offset).normal_(
        generator=generator
    )
