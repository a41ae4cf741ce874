"""Which images a folder holds, how they are divided, and what is said of folders that do not make a dataset."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbs.data.dataset import Dataset, Split
from fastbs.data.folders import list_images, open_dataset
from fastbs.errors import BadInput

class_sizes = st.dictionaries(
    st.text("abcXYZ09 -_é", min_size=1, max_size=6).filter(lambda name: name.strip() == name),
    st.integers(2, 30),
    min_size=2,
    max_size=5,
)


def fill(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def classes_of(root: Path, sizes: dict[str, int], prefix: str = "") -> Path:
    return fill(root, *(f"{prefix}{name}/{n}.jpg" for name, size in sizes.items() for n in range(size)))


@given(class_sizes, st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_stratified_split_holds_every_image_once_and_a_quarter_of_each_class_validates(tmp_path_factory, sizes, seed):
    root = classes_of(tmp_path_factory.mktemp("set"), sizes)
    layout = open_dataset(root, split_seed=seed)
    assert layout.classes == tuple(sorted(sizes))
    assert sorted(layout.train.files + layout.validation.files) == sorted(
        p.relative_to(root).as_posix() for p in root.glob("*/*")
    )
    for split in (layout.train, layout.validation):
        assert [file.split("/")[0] for file in split.files] == [layout.classes[label] for label in split.labels]
        assert list(split.files) == sorted(split.files, key=lambda file: file.split("/"))
    for label, name in enumerate(layout.classes):
        held_out = layout.validation.labels.count(label)
        assert 1 <= held_out < sizes[name]
        assert abs(held_out - sizes[name] / 4) <= 0.75
    assert layout.test is None
    assert layout.split == f"stratified 75/25, seed {seed}"


def test_split_depends_on_the_seed_and_not_on_the_order_of_the_directory(tmp_path, monkeypatch):
    root = classes_of(tmp_path, {"a": 40, "b": 40})
    first, other = open_dataset(root), open_dataset(root, split_seed=1)
    assert first.validation != other.validation
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: reversed(sorted(scandir(path), key=lambda entry: entry.name)))
    assert open_dataset(root) == first


def test_split_is_the_same_on_every_machine_and_for_every_version(tmp_path):
    layout = open_dataset(classes_of(tmp_path, {"a": 8, "b": 4}))
    assert layout.validation.files == ("a/0.jpg", "a/7.jpg", "b/3.jpg")


def test_an_added_image_moves_no_other_class_and_at_most_one_image(tmp_path):
    before = set(open_dataset(classes_of(tmp_path, {"a": 40, "b": 40})).validation.files)
    after = set(open_dataset(fill(tmp_path, "a/new.jpg")).validation.files)
    assert {file for file in before ^ after if file.startswith("b/")} == set()
    assert len(before - after) <= 1


def test_train_and_val_and_test_are_taken_as_they_are(tmp_path):
    fill(tmp_path, *(f"{side}/{name}/1.png" for side in ("train", "val", "test") for name in "ab"))
    layout = open_dataset(tmp_path)
    assert layout.train == Split(("train/a/1.png", "train/b/1.png"), (0, 1))
    assert layout.validation.files == ("val/a/1.png", "val/b/1.png")
    assert layout.test is not None and layout.test.files == ("test/a/1.png", "test/b/1.png")
    assert layout.split == "folders"


@pytest.mark.parametrize("folder", ["val", "validation", "test"])
def test_train_and_one_other_folder_leave_no_test_set(tmp_path, folder):
    fill(tmp_path, *(f"{side}/{name}/1.png" for side in ("train", folder) for name in "ab"))
    layout = open_dataset(tmp_path)
    assert layout.validation.files == (f"{folder}/a/1.png", f"{folder}/b/1.png")
    assert layout.test is None


def test_train_alone_is_divided_as_if_it_were_the_whole(tmp_path):
    inside = open_dataset(classes_of(tmp_path / "x", {"a": 9, "b": 7}, "train/"))
    whole = open_dataset(classes_of(tmp_path / "y", {"a": 9, "b": 7}))
    assert inside.validation.files == tuple(f"train/{file}" for file in whole.validation.files)
    assert inside.split == whole.split == "stratified 75/25, seed 0"


def test_a_class_may_be_called_train(tmp_path):
    assert open_dataset(classes_of(tmp_path, {"car": 4, "train": 4})).classes == ("car", "train")


def test_hidden_files_are_ignored_and_extensions_count_in_any_case(tmp_path):
    fill(tmp_path, ".git/x.jpg", "a/1.JPG", "a/2.Jpeg", "a/.3.jpg", "b/1.PNG", "b/2.png")
    listing = list_images(tmp_path)
    assert listing.sides == {"train": {"a": ("a/1.JPG", "a/2.Jpeg"), "b": ("b/1.PNG", "b/2.png")}}
    assert listing.problems == ()


def test_what_is_not_used_is_said_but_no_error(tmp_path):
    fill(classes_of(tmp_path, {"a": 2, "b": 2}), "a/notes.txt", "lost.jpg", "readme.md")
    assert [(problem.kind, problem.path) for problem in list_images(tmp_path).problems] == [
        ("not used", "."),
        ("not used", "a/notes.txt"),
    ]
    assert len(open_dataset(tmp_path).train) == 2


@pytest.mark.parametrize(
    ("files", "culprit", "reason"),
    [
        ([], "", "no class folders"),
        (["1.jpg", "2.jpg"], "", "no class folders"),
        (["a/1.jpg", "a/2.jpg"], "", "only one class, a"),
        (["a/1.jpg", "a/2.jpg", "b/x.gif"], "/b", "a class without JPEG or PNG images (1 other files)"),
        (["a/1.jpg", "a/2.jpg", "b/1.jpg"], "/b", "one image"),
        (["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg", "b/c/3.jpg"], "/b/c", "a folder inside a class folder"),
        (["train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg"], "/val/b", "no such class, but train/ has it"),
        (["train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "val/b/1.jpg", "val/c/1.jpg"], "/train/c", "val/ has it"),
        (["test/a/1.jpg", "test/b/1.jpg"], "/test", "no train/"),
        ([f"{s}/{c}/1.jpg" for s in ("train", "val", "validation") for c in "ab"], "/validation", "beside val/"),
    ],
)
def test_folders_that_are_no_dataset_are_refused_with_the_culprit(tmp_path, files, culprit, reason):
    with pytest.raises(BadInput) as refused:
        open_dataset(fill(tmp_path, *files))
    text = str(refused.value)
    assert text.startswith(f"{tmp_path}{culprit}: ") and reason in text and "\n" not in text


def test_an_empty_class_is_refused(tmp_path):
    classes_of(tmp_path, {"a": 2, "b": 2})
    (tmp_path / "c").mkdir()
    with pytest.raises(BadInput, match=r"/c: a class without JPEG or PNG images; add some or remove the folder"):
        open_dataset(tmp_path)


def test_a_missing_folder_and_a_file_are_refused(tmp_path):
    with pytest.raises(BadInput, match="nowhere: no such folder"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(BadInput, match=r"x\.jpg: a file, not a folder"):
        open_dataset(fill(tmp_path, "x.jpg") / "x.jpg")


def test_a_name_that_is_not_utf8_is_refused(tmp_path):
    classes_of(tmp_path, {"a": 2, "b": 2})
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/a/\xff.jpg")).touch()
    except OSError:
        pytest.skip("this file system takes no such names")
    with pytest.raises(BadInput, match="is not UTF-8; rename it"):
        open_dataset(tmp_path)


def test_a_dataset_survives_json_and_describes_itself():
    train = Split(("a/1.jpg", "a/2.jpg", "a/3.jpg", "b/1.jpg"), (0, 0, 0, 1))
    held_out = Split(("a/4.jpg", "b/2.jpg"), (0, 1))
    for test in (None, held_out):
        dataset = Dataset("/x/photos", ("a", "b"), train, held_out, test, "folders", 30, 40, "0123456789abcdef")
        assert Dataset.from_json(dataset.to_json()) == dataset
        assert dataset.class_counts("train") == (3, 1)
        assert dataset.describe() == {
            "name": "photos",
            "classes": 2,
            "train": 4,
            "validation": 2,
            "test": None if test is None else 2,
            "split": "folders",
            "height": 30,
            "width": 40,
            "fingerprint": "0123456789abcdef",
            "imbalance": 3.0,
        }
