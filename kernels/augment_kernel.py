"""Gather, crop from a padded image, mirror, normalise and convert, in one read and one write.

Reads 1 byte and writes a number per channel: 3 + 6 bytes per pixel for bf16, 3 + 12 for fp32, nothing less is possible.
"""

from __future__ import annotations

import triton
import triton.language as tl

from fastbs.kernels.triton_parts import rounded


@triton.jit(do_not_specialize=["pad"])
def augment_kernel(
    images: tl.tensor,
    indices: tl.tensor,
    offsets: tl.tensor,
    flips: tl.tensor,
    batch: tl.tensor,
    pad: tl.tensor,
    mean0: tl.tensor,
    mean1: tl.tensor,
    mean2: tl.tensor,
    scale0: tl.tensor,
    scale1: tl.tensor,
    scale2: tl.tensor,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    FORMAT: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """One program per image and BLOCK numbers of it, in the order in which both lie in memory: row, column, channel."""
    image = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    channel, x, y = at % 3, at // 3 % WIDTH, at // 3 // WIDTH
    row = y + tl.load(offsets + 2 * image) - pad
    column = tl.where(tl.load(flips + image) != 0, WIDTH - 1 - x, x) + tl.load(offsets + 2 * image + 1) - pad
    in_image = (row >= 0) & (row < HEIGHT) & (column >= 0) & (column < WIDTH)
    inside = at < HEIGHT * WIDTH * 3
    source = images + tl.load(indices + image).to(tl.int64) * (HEIGHT * WIDTH * 3)
    values = tl.load(source + (row * WIDTH + column) * 3 + channel, mask=inside & in_image, other=0).to(tl.float32)
    mean = tl.where(channel == 0, mean0, tl.where(channel == 1, mean1, mean2))
    scale = tl.where(channel == 0, scale0, tl.where(channel == 1, scale1, scale2))
    normalised = (values - mean) * scale
    tl.store(batch + image * (HEIGHT * WIDTH * 3) + at, rounded(normalised, FORMAT), mask=inside)
