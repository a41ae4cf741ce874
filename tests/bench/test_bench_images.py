from pathlib import Path

import pytest

from fastbs.bench.images import bench_images
from fastbs.errors import BadInput


def test_without_a_folder_there_are_digits_until_the_block_ends():
    with bench_images(None) as digits:
        assert (digits.name, len(digits.classes), digits.height) == ("digits", 10, 32)
        assert len(digits.train) + len(digits.validation) == 1797
        first = Path(digits.root) / digits.train.files[0]
        assert first.is_file()
    assert not first.exists()


def test_the_images_of_the_user_are_read_and_left_alone(photos):
    with bench_images(str(photos)) as images:
        assert images.root == str(photos) and len(images.train) == 60
    assert len(list(photos.rglob("*.png"))) == 80


@pytest.mark.parametrize("damage", ["no folder", "no image"])
def test_what_cannot_be_read_is_bad_input(tmp_path, damage):
    if damage == "no image":
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "0.png").write_text("text")
    with pytest.raises(BadInput), bench_images(str(tmp_path / ("" if damage == "no image" else "missing"))):
        pytest.fail("unreachable")
