"""The augmentation kernel, interpreted, against its reference."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbs.kernels import augment, augment_reference
from fastbs.kernels.inputs import images_and_crops

pytestmark = pytest.mark.interpreter
NORMAL = {"mean": (124.0, 116.3, 103.5), "std": (58.4, 57.1, 57.4)}
FORMATS = [torch.float32, torch.bfloat16, torch.float16]


@pytest.fixture(autouse=True, scope="module")
def kernels_on_the_cpu():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augment, "kernel_runs_on", lambda device: True)
        patch.setattr(augment, "BLOCK", 64)
        yield


def both(*inputs, **given):
    """By the kernel, which must have been called, and by the reference."""
    from fastbs.kernels import augment_kernel

    calls, launch = [], augment_kernel.augment_kernel

    class Counted:
        def __getitem__(self, grid):
            calls.append(grid)
            return launch[grid]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augment_kernel, "augment_kernel", Counted())
        by_kernel = augment.augment(*inputs, **given)
    assert len(calls) == 1
    return by_kernel, augment_reference.augment(*inputs, **given)


@settings(max_examples=20)
@given(
    images=st.integers(1, 5),
    batch=st.integers(1, 4),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    pad=st.integers(0, 5),
    dtype=st.sampled_from(FORMATS),
    seed=st.integers(0, 99),
)
def test_the_batch_is_the_reference_s_bit_for_bit(images, batch, size, pad, dtype, seed):
    kernel, reference = both(*images_and_crops(images, batch, size, pad, "cpu", seed), pad=pad, dtype=dtype, **NORMAL)
    assert torch.equal(kernel, reference) and kernel.dtype == reference.dtype
    assert kernel.shape == reference.shape and kernel.stride() == reference.stride()


@pytest.mark.parametrize("dtype", FORMATS)
def test_every_offset_and_flip_of_every_pixel_value(dtype):
    """256 values in 16x16; all crops of a padding of 2, mirrored or not."""
    images = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).repeat(1, 1, 1, 3).contiguous()
    offsets = torch.cartesian_prod(torch.arange(5), torch.arange(5)).repeat(2, 1)[::7].to(torch.int64)
    flips = torch.arange(len(offsets)) % 2 == 0
    indices = torch.zeros(len(offsets), dtype=torch.int64)
    kernel, reference = both(images, indices, offsets, flips, pad=2, dtype=dtype, **NORMAL)
    assert torch.equal(kernel, reference)


def test_an_empty_batch_stays_empty():
    pixels, indices, offsets, flips = images_and_crops(2, 3, (4, 4), 1, "cpu")
    empty = augment.augment(pixels, indices[:0], offsets[:0], flips[:0], pad=1, dtype=torch.float16, **NORMAL)
    assert empty.shape == (0, 3, 4, 4)


def test_what_the_kernel_cannot_read_goes_to_the_reference():
    pixels, *crops = images_and_crops(2, 3, (4, 6), 1, "cpu")
    turned = pixels.transpose(1, 2)
    found = augment.augment(turned, *crops, pad=1, dtype=torch.float32, **NORMAL)
    assert torch.equal(found, augment_reference.augment(turned, *crops, pad=1, dtype=torch.float32, **NORMAL))
    grey = pixels[..., :1].contiguous()
    found = augment.augment(grey, *crops, pad=1, dtype=torch.float32, **NORMAL)
    assert torch.equal(found, augment_reference.augment(grey, *crops, pad=1, dtype=torch.float32, **NORMAL))
    wide = augment.augment(pixels, *crops, pad=1, dtype=torch.float64, **NORMAL)
    assert wide.dtype == torch.float64
