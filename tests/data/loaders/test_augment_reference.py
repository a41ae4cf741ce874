import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbs.kernels.augment_reference import augment

MEAN, STD = (1.0, 2.0, 3.0), (4.0, 8.0, 16.0)  # binary fractions: float32 is exact


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 9), st.integers(1, 9), st.integers(0, 4), st.integers(0, 6))
def test_it_pads_crops_mirrors_and_normalises_as_numpy_does_one_by_one(seed, height, width, pad, batch):
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (5, height, width, 3), dtype=np.uint8)
    indices = random.integers(0, 5, batch)
    offsets = random.integers(0, 2 * pad + 1, (batch, 2))
    flips = random.random(batch) < 0.5
    expected = np.empty((batch, height, width, 3), np.float32)
    for i in range(batch):
        padded = np.pad(images[indices[i]], ((pad, pad), (pad, pad), (0, 0)))
        row, column = offsets[i]
        crop = padded[row : row + height, column : column + width]
        expected[i] = (crop[:, ::-1] if flips[i] else crop) / np.float32(1)
    expected = (expected - np.float32(MEAN)) / np.float32(STD)
    parts = [torch.from_numpy(part) for part in (images, indices, offsets, flips)]
    seen = augment(*parts, pad=pad, mean=MEAN, std=STD, dtype=torch.float32)
    assert seen.shape == (batch, 3, height, width)
    assert torch.equal(seen.permute(0, 2, 3, 1), torch.from_numpy(expected))


def test_it_gives_channels_last_in_the_dtype_asked_for():
    images = torch.randint(0, 256, (4, 8, 8, 3), dtype=torch.uint8)
    offsets, flips = torch.zeros(2, 2, dtype=torch.int32), torch.zeros(2, dtype=torch.bool)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        seen = augment(images, torch.tensor([3, 0]), offsets, flips, pad=0, mean=MEAN, std=STD, dtype=dtype)
        assert seen.dtype == dtype and seen.is_contiguous(memory_format=torch.channels_last)
