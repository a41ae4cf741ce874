"""Class folders of JPEG and PNG files: which images there are, of which class, on which side of the split."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from fastbs.data.dataset import Side, Split
from fastbs.data.problem import Problem
from fastbs.errors import BadInput

EXTENSIONS = (".jpg", ".jpeg", ".png")
SIDE_FOLDERS: dict[str, Side] = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}
ONE_FOLDER_PER_CLASS = "put the images of each class into a folder of its own, as in cats/1.jpg and dogs/1.jpg"

Classes = dict[str, tuple[str, ...]]  # class -> its images, posix paths relative to the root, by name


@dataclass(frozen=True)
class Listing:
    """What the folders hold, nothing opened. Without split folders all classes are under "train"."""

    root: Path
    sides: dict[Side, Classes]
    split: bool  # whether the folders say which images validate
    problems: tuple[Problem, ...]  # of the folders, not of the files' contents

    def side_of(self) -> dict[str, Side]:
        """The side of each image, by path relative to the root, in order of side, class and name."""
        return {file: side for side, classes in self.sides.items() for files in classes.values() for file in files}


@dataclass(frozen=True)
class Layout:
    """A listing without errors, divided; the fields are those of Dataset."""

    root: Path
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split | None
    split: str

    def side_of(self) -> dict[str, Side]:
        """The side of each image, by path relative to the root, in order of side, class and name."""
        sides: dict[Side, Split | None] = {"train": self.train, "validation": self.validation, "test": self.test}
        return {file: side for side, split in sides.items() if split for file in split.files}


def list_images(root: Path) -> Listing:
    """All images below `root` and what is wrong with its folders. Hidden files are not there for us.

    `train/` is a split folder when it holds folders; when it holds images it is the class "train" (of a set with cars).
    BadInput only where nothing can be listed: no such folder, a file, no permission, a name that is not UTF-8.
    """
    if not root.exists():
        raise BadInput(f"{root}: no such folder; name a folder that holds one folder of images per class")
    if not root.is_dir():
        raise BadInput(f"{root}: a file, not a folder; name the folder that holds one folder of images per class")
    folders, files = _scan(root)
    found: list[Problem] = []
    _stray(root, ".", files, found)
    named = [folder for folder in folders if folder in SIDE_FOLDERS]
    if not any(_scan(root / folder)[0] for folder in named):
        only: dict[Side, Classes] = {"train": {folder: _images(root, folder, found) for folder in folders}}
        return Listing(root, only, False, tuple(found + _class_problems(only, {"train": "."})))
    sides: dict[Side, Classes] = {}
    places: dict[Side, str] = {}
    for folder in sorted(named, key=list(SIDE_FOLDERS).index):
        if SIDE_FOLDERS[folder] in places:
            found.append(Problem("layout", folder, "stands beside val/; keep one of the two"))
            continue
        inner, files = _scan(root / folder)
        _stray(root, folder, files, found)
        places[SIDE_FOLDERS[folder]] = folder
        sides[SIDE_FOLDERS[folder]] = {name: _images(root, f"{folder}/{name}", found) for name in inner}
    found += [
        Problem("not used", folder, f"not used, because it stands beside {named[0]}/")
        for folder in folders
        if folder not in SIDE_FOLDERS
    ]
    if "train" not in sides:
        found.append(Problem("layout", named[0], "there is no train/ beside it; put the training images there"))
    return Listing(root, sides, len(sides) > 1, tuple(found + _class_problems(sides, places)))


def open_dataset(root: Path, *, split_seed: int = 0) -> Layout:
    """The images of `root`, divided into training, validation and test. No file is opened.

    With `train/` and `val/` (or `validation/`), `test/` is kept apart; with `train/` and `test/` alone, test validates.
    Otherwise a quarter of each class validates, chosen by hash of seed and name: the same on every machine, and an
    added image moves no other one across. BadInput names the first error of the folders.
    """
    listing = list_images(root)
    for problem in listing.problems:
        if problem.is_error:
            raise BadInput(problem.line(root))
    return divide(listing, split_seed)


def divide(listing: Listing, split_seed: int = 0) -> Layout:
    """`open_dataset` for a listing without errors."""
    root, sides, classes = listing.root, listing.sides, tuple(listing.sides["train"])
    if listing.split:
        test = _side(sides["test"]) if "test" in sides and "validation" in sides else None
        validation = _side(sides.get("validation") or sides["test"])
        return Layout(root, classes, _side(sides["train"]), validation, test, "folders")
    held_out = {name: _quarter(name, files, split_seed) for name, files in sides["train"].items()}
    kept = {name: tuple(file for file in files if file not in held_out[name]) for name, files in sides["train"].items()}
    validation = _side({name: tuple(sorted(files)) for name, files in held_out.items()})
    return Layout(root, classes, _side(kept), validation, None, f"stratified 75/25, seed {split_seed}")


def _quarter(name: str, files: tuple[str, ...], seed: int) -> set[str]:
    def order(file: str) -> bytes:
        return hashlib.sha256(f"{seed}/{name}/{file.rpartition('/')[2]}".encode()).digest()

    count = min(max(1, round(len(files) / 4)), len(files) - 1)
    return set(sorted(files, key=order)[:count])


def _side(classes: Classes) -> Split:
    return Split(
        files=tuple(file for files in classes.values() for file in files),
        labels=tuple(label for label, files in enumerate(classes.values()) for _ in files),
    )


def _scan(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the folders and of the other entries inside `folder`, sorted by code point; hidden ones left out."""
    try:
        entries = [(entry.name, entry.is_dir()) for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError as error:
        raise BadInput(f"{folder}: cannot be listed ({error.strerror}); give yourself permission to read it") from error
    for name, _ in entries:
        if not _is_utf8(name):
            raise BadInput(f"{folder}: the name {os.fsencode(name)!r} is not UTF-8; rename it")
    return sorted(name for name, is_dir in entries if is_dir), sorted(name for name, is_dir in entries if not is_dir)


def _is_utf8(name: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in name)  # what is not UTF-8 on disk arrives as surrogates


def _is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS)


def _stray(root: Path, folder: str, files: list[str], found: list[Problem]) -> None:
    count = sum(map(_is_image, files))
    if count:
        found.append(Problem("not used", folder, f"{count} images outside any class folder are not used"))


def _images(root: Path, folder: str, found: list[Problem]) -> tuple[str, ...]:
    folders, files = _scan(root / folder)
    for name in folders:
        text = "a folder inside a class folder; move its images up (split folders are named train, val, test)"
        found.append(Problem("layout", f"{folder}/{name}", text))
    images = tuple(f"{folder}/{name}" for name in files if _is_image(name))
    for name in files:
        if not _is_image(name):
            text = "not used: its name does not end in .jpg, .jpeg or .png"
            found.append(Problem("not used", f"{folder}/{name}", text))
    if not images and not folders:
        others = f" ({len(files)} other files)" if files else ""
        text = f"a class without JPEG or PNG images{others}; add some or remove the folder"
        found.append(Problem("empty class", folder, text))
    return images


def _class_problems(sides: dict[Side, Classes], places: dict[Side, str]) -> list[Problem]:
    found: list[Problem] = []
    if "train" not in sides:
        return found
    classes, place = sides["train"], places["train"]
    if not classes:
        found.append(Problem("layout", place, f"no class folders; {ONE_FOLDER_PER_CLASS}"))
    if len(classes) == 1:
        found.append(Problem("layout", place, f"only one class, {next(iter(classes))}; {ONE_FOLDER_PER_CLASS}"))
    for side, others in sides.items():
        for name in classes.keys() ^ others.keys():
            has, lacks = (place, places[side]) if name in classes else (places[side], place)
            text = f"no such class, but {has}/ has it; both need the same class folders"
            found.append(Problem("layout", f"{lacks}/{name}", text))
    if len(sides) == 1:
        for files in classes.values():
            if len(files) == 1:
                text = "a class with one image cannot be divided into training and validation; add images"
                found.append(Problem("layout", files[0].rpartition("/")[0], text))
    return sorted(found, key=lambda problem: problem.path)
