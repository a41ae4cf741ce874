import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbs.data.augmentation import AREA, PAD, RATIO, PaddedCrops, Windows, crops_of
from fastbs.data.order import DRAWS, epoch_draws, epoch_order

SEEDS = st.integers(0, 2**63 - 1)


@given(SEEDS, st.integers(0, 10**6), st.integers(1, 300))
def test_an_epoch_is_every_image_once(seed, epoch, images):
    assert sorted(epoch_order(seed, epoch, images)) == list(range(images))


@given(SEEDS, st.integers(0, 10**6))
def test_order_and_draws_belong_to_seed_and_epoch_alone(seed, epoch):
    for function in (epoch_order, epoch_draws):
        one = function(seed, epoch, 100)
        assert np.array_equal(one, function(seed, epoch, 100))
        assert not np.array_equal(one, function(seed, epoch + 1, 100))
        assert not np.array_equal(one, function(seed + 1, epoch, 100))


def test_every_image_is_as_likely_to_come_first():
    firsts = np.bincount([epoch_order(seed, 0, 4)[0] for seed in range(2000)], minlength=4)
    assert (np.abs(firsts - 500) < 5 * np.sqrt(2000 * 0.25 * 0.75)).all()


def test_padded_crops_take_every_offset_alike_and_mirror_half():
    crops = PaddedCrops.of(epoch_draws(0, 0, 81_000))
    cells = np.bincount(crops.offsets @ [9, 1], minlength=81)
    assert len(cells) == (2 * PAD + 1) ** 2
    assert (np.abs(cells - 1000) < 5 * np.sqrt(1000)).all()
    assert abs(crops.flips.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(crops.flips, crops.offsets[:, 0])[0, 1]) < 0.02


@settings(max_examples=300)
@given(SEEDS, st.integers(1, 3000), st.integers(1, 3000))
def test_a_window_lies_inside_the_image_and_is_never_empty(seed, height, width):
    windows = Windows.of(epoch_draws(seed, 0, 4))
    for i in range(4):
        left, top, right, bottom = windows.box(i, height, width)
        assert 0 <= left <= right <= width and 0 <= top <= bottom <= height
        if min(height, width) >= 8 and max(height, width) <= 16 * min(height, width):
            assert left < right and top < bottom


def test_windows_of_a_square_photograph_have_the_stated_areas_and_ratios():
    windows = Windows.of(epoch_draws(1, 0, 5000))
    boxes = np.array([windows.box(i, 1000, 1000) for i in range(5000)])
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    area, ratio = width * height / 1e6, width / height
    whole = (width < 1000) & (height < 1000)  # not clipped
    assert whole.mean() > 0.7
    assert area.min() > AREA[0] - 0.003 and area.max() <= AREA[1]
    assert ratio.min() > RATIO[0] - 0.003 and ratio.max() < RATIO[1] + 0.004
    assert abs(np.median(np.log(ratio[whole]))) < 0.02
    assert abs(area[area < 0.5].mean() - 0.375) < 0.01
    room = 1000 - width[whole]
    assert abs((boxes[whole, 0] / room).mean() - 0.5) < 0.02


def test_each_name_of_an_augmentation_has_its_crops():
    draws = epoch_draws(0, 0, 3)
    assert draws.shape == (3, DRAWS)
    assert crops_of("none", draws) is None
    assert isinstance(crops_of("crop-flip", draws), PaddedCrops)
    assert isinstance(crops_of("random-resized", draws), Windows)
