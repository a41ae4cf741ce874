"""Synthetic images: as many as asked for, repeatable, sound, and learnable but not trivial."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fastbs.data.check import check
from fastbs.data.folders import open_dataset
from fastbs.data.make_synthetic import make_synthetic
from fastbs.errors import BadInput


def orientation(file: Path) -> np.ndarray:
    """Mean direction of an image's grey gradients, as cosine and sine of the doubled angle."""
    dy, dx = np.gradient(np.asarray(Image.open(file), dtype=float).mean(axis=2))
    return np.array([(dx**2 - dy**2).sum(), 2 * (dx * dy).sum()]) / (dx**2 + dy**2).sum()


def nearest_mean_accuracy(root: Path, feature) -> float:
    """Top1 on the validation images of the nearest class mean of the training images."""
    layout = open_dataset(root)
    train, validation = (
        np.stack([feature(root / file) for file in side.files]) for side in (layout.train, layout.validation)
    )
    labels = np.array(layout.train.labels)
    means = np.stack([train[labels == label].mean(axis=0) for label in range(len(layout.classes))])
    nearest = ((validation[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    return float((nearest == np.array(layout.validation.labels)).mean())


@given(st.integers(2, 5), st.integers(0, 9), st.integers(8, 40), st.sampled_from(["jpeg", "png"]))
@settings(max_examples=12, deadline=None)
def test_any_number_and_size_makes_a_sound_dataset_of_even_classes(tmp_path_factory, classes, more, size, format):
    root, images = tmp_path_factory.mktemp("made") / "set", 2 * classes + more
    assert make_synthetic(root, images=images, classes=classes, size=size, format=format) == images
    report = check(root)
    assert (report.errors, set(report.sizes.values()), report.images) == ((), {(size, size)}, images)
    counts = [len(list(folder.iterdir())) for folder in root.iterdir()]
    assert len(counts) == classes and max(counts) - min(counts) <= 1


def test_classes_can_be_learned_but_not_from_the_mean_image(tmp_path):
    make_synthetic(tmp_path / "set", images=480, classes=6, size=32)
    assert nearest_mean_accuracy(tmp_path / "set", orientation) > 0.9
    as_is = nearest_mean_accuracy(tmp_path / "set", lambda file: np.asarray(Image.open(file), dtype=float).ravel())
    assert as_is < 0.6  # chance is 1/6


def test_a_seed_repeats_itself_and_another_one_does_not(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        make_synthetic(tmp_path / name, images=8, classes=2, size=8, seed=seed, format="png")
    a, b, c = ([file.read_bytes() for file in sorted((tmp_path / name).rglob("*.png"))] for name in "abc")
    assert a == b
    assert not set(a) & set(c)
    assert len(set(a)) == 8


def test_a_larger_set_begins_with_the_smaller_one(tmp_path):
    make_synthetic(tmp_path / "small", images=6, classes=3, size=8)
    make_synthetic(tmp_path / "large", images=12, classes=3, size=8)
    for file in (tmp_path / "small").rglob("*.jpg"):
        assert (tmp_path / "large" / file.relative_to(tmp_path / "small")).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"format": "gif"}, "format gif: unknown; one of jpeg, png"),
        ({"classes": 1}, "at least two classes"),
        ({"images": 11, "classes": 6}, "11 images of 6 classes"),
        ({"size": 4}, "size 4: too small"),
    ],
)
def test_impossible_requests_are_refused(tmp_path, options, reason):
    with pytest.raises(BadInput, match=reason):
        make_synthetic(tmp_path / "set", **options)
    assert list(tmp_path.iterdir()) == []
