import numpy as np
import pytest
import torch
from PIL import Image

from fastbs.data.augmentation import Windows
from fastbs.data.loaders.torch_loader import TorchLoader
from fastbs.data.order import epoch_draws, epoch_order
from fastbs.data.preprocessing import MEAN, STD, preprocessing


def levels(batches) -> torch.Tensor:
    """Images of some batches as pixel values 0..255, (N, H, W, 3)."""
    images = torch.cat([batch.images for batch in batches]).float().permute(0, 2, 3, 1)
    return images * torch.tensor(STD) + torch.tensor(MEAN)


def by_hand(dataset, names, size) -> torch.Tensor:
    """What the stored preprocessing says, followed with PIL; (N, H, W, 3) in 0..255."""
    rule, images = preprocessing(dataset.classes, size), []
    for name in names:
        image = Image.open(f"{dataset.root}/{name}").convert(rule["color"])
        scale = rule["resize_shorter"] / min(image.size)
        width, height = (int(side * scale + 0.5) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        left, top = (int((side - rule["crop"]) / 2 + 0.5) for side in (width, height))
        images.append(np.asarray(image)[top : top + rule["crop"], left : left + rule["crop"]])
    return torch.tensor(np.stack(images), dtype=torch.float32)


@pytest.mark.parametrize("name", ["dali", "resident", "torch"])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-3), (torch.float16, 0.1), (torch.bfloat16, 0.6)])
def test_images_that_have_the_size_already_are_normalised_and_nothing_else(loader, small, name, dtype, tolerance):
    seen = levels(loader(name, small, split="validation", dtype=dtype))
    torch.testing.assert_close(seen, by_hand(small, small.validation.files, 32), rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["dali", "resident", "torch"])
@pytest.mark.parametrize("size", [24, 100, 128, 160])
def test_evaluation_follows_the_preprocessing_that_is_stored_with_a_model(loader, photographs, name, size):
    """Within two levels: PIL rounds between its two passes."""
    seen = levels(loader(name, photographs, split="validation", image_size=size))
    off = (seen - by_hand(photographs, photographs.validation.files, size)).abs()
    assert off.max() < 2.01 and off.mean() < 0.5


@pytest.mark.parametrize("name", ["dali", "resident"])
def test_jpegs_are_decoded_turned_and_coloured_as_pil_does(loader, rotated_jpegs, name):
    settings = {"split": "validation", "image_size": 128}
    off = levels(loader(name, rotated_jpegs, **settings)) - levels(loader("torch", rotated_jpegs, **settings))
    assert off.abs().max() < 2.01


def test_large_images_lose_their_border_and_small_ones_do_not(small):
    assert [preprocessing(small.classes, size)["resize_shorter"] for size in (32, 127, 128, 224)] == [32, 127, 146, 256]


@pytest.mark.parametrize("name", ["dali", "resident", "torch"])
def test_without_augmentation_training_sees_what_evaluation_sees(loader, small, name):
    """Digits must never be mirrored."""
    order = epoch_order(0, 0, 50)[:48]
    expected = by_hand(small, [small.train.files[i] for i in order], 32)
    torch.testing.assert_close(levels(loader(name, small)), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["dali", "resident", "torch"])
def test_crop_flip_moves_by_at_most_four_pixels_over_black_and_mirrors_half(loader, small, name):
    order = epoch_order(0, 0, 50)[:48]
    plain = by_hand(small, [small.train.files[i] for i in order], 32).numpy()
    flips = []
    for image, seen in zip(plain, levels(loader(name, small, augment="crop-flip")).numpy(), strict=True):
        padded = np.pad(image, ((4, 4), (4, 4), (0, 0)))
        candidates = [(y, x, flip) for y in range(9) for x in range(9) for flip in (False, True)]
        crops = np.stack([padded[y : y + 32, x : x + 32][:, :: -1 if flip else 1] for y, x, flip in candidates])
        matching = np.flatnonzero(np.abs(crops - seen).max(axis=(1, 2, 3)) < 1e-3)
        assert len(matching) == 1
        flips.append(candidates[matching[0]][2])
    assert 12 < sum(flips) < 36


def test_random_resized_windows_are_the_same_in_dali_and_pil(loader, photographs):
    settings = {"augment": "random-resized", "image_size": 128, "batch_size": 4}
    ours, theirs = (loader(name, photographs, **settings) for name in ("dali", "torch"))
    for _ in range(3):
        off = (levels(ours) - levels(theirs)).abs()
        assert off.quantile(0.99) < 1.01  # a window may round to one pixel more or less


def test_random_resized_windows_are_cut_where_the_draws_say(loader, photographs):
    settings = {"augment": "random-resized", "image_size": 64, "batch_size": 12}
    seen = levels(loader("dali", photographs, **settings))
    windows = Windows.of(epoch_draws(0, 0, 12))
    for i, number in enumerate(epoch_order(0, 0, 12)):
        image = Image.open(f"{photographs.root}/{photographs.train.files[number]}")
        window = image.crop(windows.box(i, image.height, image.width)).resize((64, 64), Image.Resampling.BILINEAR)
        expected = torch.tensor(np.asarray(window)[:, :: -1 if windows.flips[i] else 1].copy(), dtype=torch.float32)
        assert (seen[i] - expected).abs().quantile(0.99) < 1.01


def test_both_transports_of_the_data_loader_carry_the_same_batches(loader, small):
    for augment in ("none", "crop-flip"):
        fair = loader("torch", small, augment=augment)
        with TorchLoader(fair.settings, transport="float32") as naive:
            for a, b in zip(fair, naive, strict=True):
                torch.testing.assert_close(a.images, b.images, rtol=0, atol=1e-6)
                assert a.images.stride() == b.images.stride() and torch.equal(a.labels, b.labels)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["dali", "resident", "torch"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_gpu_gives_the_same_images_also_when_it_lags_behind(loader, small, batches, name, dtype):
    """Batches are dropped while the GPU still has to read them."""
    if name != "torch":
        pytest.importorskip("nvidia.dali")
    settings = {"augment": "crop-flip", "dtype": dtype}
    expected = torch.cat([batch.images for batch in batches(loader(name, small, **settings), 30)])
    delay = torch.randn(4096, 4096, device="cuda")
    seen: list[torch.Tensor] = []
    opened = loader(name, small, device=torch.device("cuda"), **settings)
    while len(seen) < 30:
        for batch in opened:
            torch.mm(delay, delay)
            seen.append(batch.images.clone())
            del batch
    torch.testing.assert_close(torch.cat(seen[:30]).cpu(), expected, rtol=0, atol=0.02)
