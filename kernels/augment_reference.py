"""Pad, crop, mirror and normalise images that are in memory as uint8, in plain torch.

Reads 3 bytes and writes 3 numbers per pixel; the steps between are what a fused kernel saves.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch


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
    """(B, 3, H, W) channels_last: the chosen images, moved, mirrored and normalised.

    images_u8 (N, H, W, 3); indices (B,) int64; offsets (B, 2) integers, row and column of the crop in the image padded
    by `pad` black pixels, 0..2*pad; flips (B,) bool, left and right exchanged; mean and std per channel in 0..255.
    """
    _, height, width, _ = images_u8.shape
    y = torch.arange(height, device=images_u8.device)
    x = torch.arange(width, device=images_u8.device)
    rows = y + offsets[:, :1] - pad
    columns = torch.where(flips[:, None], width - 1 - x, x) + offsets[:, 1:] - pad
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    pixels = images_u8[indices[:, None, None], rows[:, :, None], columns[:, None, :]] * inside[..., None]
    scale = torch.tensor(std, device=pixels.device).reciprocal()
    normalised = (pixels - torch.tensor(mean, device=pixels.device)) * scale
    return normalised.to(dtype).permute(0, 3, 1, 2)
