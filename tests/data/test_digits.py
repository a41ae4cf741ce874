"""The embedded dataset: scikit-learn's digits as files."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastbs.data.check import check
from fastbs.data.folders import open_dataset
from fastbs.data.make_digits import make_digits
from fastbs.errors import BadInput

load_digits = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed").load_digits


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("made") / "digits"
    assert make_digits(root) == 1797
    return root


def digest(root: Path) -> str:
    total = hashlib.sha256()
    for file in sorted(root.rglob("*.png")):
        total.update(file.relative_to(root).as_posix().encode() + file.read_bytes())
    return total.hexdigest()


def test_digits_are_a_sound_dataset_of_ten_classes(digits):
    report = check(digits)
    assert (report.images, report.problems, set(report.sizes.values())) == (1797, (), {(32, 32)})
    layout = open_dataset(digits)
    assert layout.classes == tuple("0123456789")
    assert (len(layout.train), len(layout.validation)) == (1347, 450)


def test_each_file_is_the_digit_that_its_folder_says(digits):
    source = load_digits()
    for file in sorted(digits.rglob("*.png"))[::40]:
        number = int(file.stem)
        assert file.parent.name == str(source.target[number])
        shrunk = np.asarray(Image.open(file).resize((8, 8), Image.Resampling.BOX), dtype=float)
        assert np.corrcoef(shrunk.ravel(), source.images[number].ravel())[0, 1] > 0.95
        assert shrunk.max() > 150  # of 255: the range is used


def test_digits_are_the_same_bytes_every_time(digits, tmp_path):
    make_digits(tmp_path / "again")
    assert digest(tmp_path / "again") == digest(digits)


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BadInput, match="not empty; name a new folder"):
        make_digits(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(BadInput, match="a file, not a folder"):
        make_digits(tmp_path / "notes.txt")


def test_the_current_folder_is_not_replaced_under_the_users_feet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="the current folder cannot be replaced"):
        make_digits(Path("."))
    (tmp_path / "empty").mkdir()
    assert make_digits(Path("empty")) == 1797


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    saved = []

    def full(self, path, **_):
        saved.append(path)
        if len(saved) > 3:
            raise OSError(28, "No space left on device")
        path.touch()

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(BadInput, match="digits: cannot be written .No space left on device.; free space"):
        make_digits(tmp_path / "digits")
    assert len(saved) == 4 and list(tmp_path.iterdir()) == []
