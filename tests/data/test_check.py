"""What a check finds, and that training starts only from what it found readable."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastbs.data import check as checks
from fastbs.data import image_file, inspect_files
from fastbs.data.check import check, verified_dataset
from fastbs.data.make_synthetic import make_synthetic
from fastbs.errors import BadInput


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """photos/train and photos/val: 8 + 4 distinct JPEG images of 20 rows and 30 columns in two classes."""
    pixels = np.random.default_rng(0)
    for side, count in (("train", 4), ("val", 2)):
        for name in ("land", "sea"):
            folder = tmp_path / "photos" / side / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(pixels.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(folder / f"{number}.jpg")
    return tmp_path / "photos"


def found(root: Path) -> list[tuple[str, str]]:
    return [(problem.kind, problem.path) for problem in check(root).problems]


def cut(file: Path, length: int) -> None:
    file.write_bytes(file.read_bytes()[:length])


def test_a_sound_dataset_has_no_problems(photos):
    report = check(photos)
    assert report.problems == () and report.images == 12
    assert set(report.sizes.values()) == {(20, 30)}
    assert report.sha256.keys() == report.sizes.keys()
    assert json.loads(json.dumps(report.to_json()))["readable"] == 12


def test_every_bad_file_is_listed_and_the_good_ones_are_not(photos):
    cut(photos / "train/land/0.jpg", 500)
    cut(photos / "train/land/1.jpg", 0)
    (photos / "train/sea/2.jpg").write_text("<html>not found</html>")
    (photos / "val/sea/1.jpg").unlink()
    (photos / "val/sea/1.jpg").symlink_to("gone")
    report = check(photos)
    assert [(problem.kind, problem.path) for problem in report.errors] == [
        ("truncated", "train/land/0.jpg"),
        ("empty file", "train/land/1.jpg"),
        ("not JPEG or PNG", "train/sea/2.jpg"),
        ("unreadable", "val/sea/1.jpg"),
    ]
    assert report.warnings == ()
    assert (report.images, len(report.sizes)) == (12, 8)
    assert report.errors[0].text == "not a readable JPEG (truncated after 500 bytes)"


def test_duplicates_are_told_apart_by_where_they_are(photos):
    shutil.copy(photos / "train/land/0.jpg", photos / "train/land/copy.jpg")
    shutil.copy(photos / "train/land/1.jpg", photos / "train/sea/copy.jpg")
    shutil.copy(photos / "train/sea/0.jpg", photos / "val/sea/copy.jpg")
    report = check(photos)
    assert sorted((problem.kind, problem.path) for problem in report.warnings) == [
        ("duplicate", "train/land/copy.jpg"),
        ("duplicate across classes", "train/sea/copy.jpg"),
        ("duplicate across the split", "val/sea/copy.jpg"),
    ]
    assert report.errors == ()


def test_of_two_copies_the_one_outside_training_is_the_culprit(photos):
    os.rename(photos / "val", photos / "test")
    shutil.copy(photos / "train/sea/0.jpg", photos / "test/sea/copy.jpg")
    assert found(photos) == [("duplicate across the split", "test/sea/copy.jpg")]


def test_a_duplicate_across_a_drawn_split_is_found(photos):
    root = photos / "train"
    drawn = verified_dataset(root)
    shutil.copy(root / drawn.train.files[0], root / drawn.validation.files[0])
    assert ("duplicate across the split", drawn.validation.files[0]) in found(root)


def test_wrong_extension_uneven_classes_and_foreign_files_are_warnings_that_training_accepts(photos):
    for number in range(4):
        Image.new("RGB", (30, 20), (number, 0, 0)).save(photos / f"train/sea/more{number}.png")
    shutil.move(photos / "train/sea/more0.png", photos / "train/sea/more0.jpg")
    (photos / "train/sea/thumbs.db").touch()
    assert found(photos) == [
        ("not used", "train/sea/thumbs.db"),
        ("wrong extension", "train/sea/more0.jpg"),
        ("imbalance", "."),
    ]
    assert len(verified_dataset(photos).train) == 12


def test_a_class_without_images_and_unequal_sides_are_listed_with_all_else(photos):
    (photos / "train/sky").mkdir()
    cut(photos / "val/sea/0.jpg", 300)
    assert found(photos) == [("empty class", "train/sky"), ("layout", "val/sky"), ("truncated", "val/sea/0.jpg")]


def test_training_is_refused_with_the_first_bad_file_and_where_to_find_the_others(photos, monkeypatch):
    monkeypatch.chdir(photos.parent)
    cut(photos / "train/sea/2.jpg", 500)
    with pytest.raises(BadInput) as refused:
        verified_dataset(Path("photos"))
    assert str(refused.value) == (
        "photos/train/sea/2.jpg: not a readable JPEG (truncated after 500 bytes); "
        "'fastbs data check photos' lists all such files"
    )
    cut(photos / "val/sea/0.jpg", 0)
    with pytest.raises(BadInput, match=r"bytes\), and 1 more; 'fastbs data check photos' lists"):
        verified_dataset(Path("photos"))


def test_the_dataset_is_complete_and_its_size_is_the_median(photos):
    for number in range(2):
        Image.new("RGB", (99, 77)).resize((99 + number, 77)).save(photos / f"train/land/{number}.jpg")
    dataset = verified_dataset(photos)
    assert (dataset.root, dataset.name, dataset.classes) == (str(photos), "photos", ("land", "sea"))
    assert (len(dataset.train), len(dataset.validation), dataset.test, dataset.split) == (8, 4, None, "folders")
    assert (dataset.height, dataset.width) == (20, 30)


def test_the_fingerprint_follows_the_images_and_nothing_else(photos, tmp_path):
    fingerprint = verified_dataset(photos).fingerprint
    assert len(fingerprint) == 16 and int(fingerprint, 16) >= 0
    elsewhere = Path(shutil.copytree(photos, tmp_path / "elsewhere"))
    assert verified_dataset(elsewhere).fingerprint == fingerprint
    os.rename(elsewhere / "val/sea/0.jpg", elsewhere / "val/sea/renamed.jpg")
    assert verified_dataset(elsewhere).fingerprint != fingerprint
    drawn = {verified_dataset(photos / "train", split_seed=seed).fingerprint for seed in (0, 1)}
    assert len(drawn) == 2
    Image.new("RGB", (30, 20)).save(photos / "train/sea/0.jpg")
    assert verified_dataset(photos).fingerprint != fingerprint


def test_an_index_spares_reading_again_what_did_not_change(photos, tmp_path, monkeypatch):
    read: list[str] = []
    inspect = checks.inspect_files

    def watched(root, files, *rest):
        read.extend(files)
        return inspect(root, files, *rest)

    monkeypatch.setattr(checks, "inspect_files", watched)
    index = tmp_path / "index.json"
    first = verified_dataset(photos, index=index)
    assert len(read) == 12
    read.clear()
    assert verified_dataset(photos, index=index) == first == verified_dataset(photos)
    assert len(read) == 12  # all by the call without an index
    read.clear()
    Image.new("RGB", (30, 20)).save(photos / "train/sea/0.jpg")
    os.utime(photos / "val/sea/1.jpg", ns=(0, 0))
    (photos / "val/land/1.jpg").unlink()
    changed = verified_dataset(photos, index=index)
    assert read == ["train/sea/0.jpg", "val/sea/1.jpg"]
    assert changed == verified_dataset(photos) != first


def test_a_bad_file_is_never_remembered_as_good(photos, tmp_path):
    index = tmp_path / "index.json"
    verified_dataset(photos, index=index)
    cut(photos / "train/sea/0.jpg", 500)
    for _ in range(2):
        with pytest.raises(BadInput, match="truncated"):
            verified_dataset(photos, index=index)


def test_an_index_that_is_another_file_is_refused_and_left_alone(photos, tmp_path):
    other = tmp_path / "other.json"
    other.write_text('{"kind": "letters"}')
    with pytest.raises(BadInput, match=r"other\.json: not a fastbs image-index"):
        verified_dataset(photos, index=other)
    assert other.read_text() == '{"kind": "letters"}'


def test_many_files_are_read_by_fresh_processes_with_the_same_result(photos, monkeypatch):
    cut(photos / "train/sea/2.jpg", 500)
    alone = check(photos)
    monkeypatch.setattr(inspect_files, "FILES_PER_PROCESS", 5)
    told: list[tuple[int, int]] = []
    assert check(photos, workers=2, progress=lambda done, total: told.append((done, total))) == alone
    assert len(told) == 3 and told[-1] == (12, 12) and told == sorted(told)


def test_results_keep_the_order_of_the_files_whichever_process_is_first(photos, monkeypatch):
    second_is_done = threading.Event()

    def process(root, files):
        if "train/land/0.jpg" in files:
            assert second_is_done.wait(10)
        rows = image_file.inspect_all(root, files)
        second_is_done.set()
        return rows

    monkeypatch.setattr(inspect_files, "FILES_PER_PROCESS", 6)
    monkeypatch.setattr(inspect_files, "_in_fresh_process", process)
    report = check(photos, workers=2)
    assert list(report.sizes) == sorted(report.sizes)


def test_a_process_that_dies_is_not_taken_for_sound_images(photos, monkeypatch):
    monkeypatch.setattr(inspect_files, "FILES_PER_PROCESS", 5)
    monkeypatch.setattr(inspect_files, "inspect_all", test_a_process_that_dies_is_not_taken_for_sound_images)
    with pytest.raises(RuntimeError, match="ended as failed"):
        check(photos)


def test_looking_at_datasets_imports_neither_torch_nor_dali(tmp_path):
    make_synthetic(tmp_path / "set", images=4, classes=2, size=8)
    program = (
        "import sys; from pathlib import Path; from fastbs.data import make_cifar10, make_digits, make_synthetic\n"
        "from fastbs.data.check import check, verified_dataset\n"
        f"verified_dataset(Path({str(tmp_path / 'set')!r}))\n"
        "sys.exit(bool({'torch', 'nvidia'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
