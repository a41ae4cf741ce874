"""Every image of a dataset really decoded, so that training never meets one that it cannot read."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median_low
from typing import Any

from fastbs.data.dataset import Dataset
from fastbs.data.folders import Layout, Listing, divide, list_images, open_dataset
from fastbs.data.image_file import Damage, ImageFile
from fastbs.data.image_index import ImageIndex
from fastbs.data.inspect_files import Progress, inspect_files
from fastbs.data.problem import Problem
from fastbs.errors import BadInput
from fastbs.results.files import SCHEMA

UNEVEN = 1.5  # largest class over smallest, from which top1 alone misleads


@dataclass(frozen=True)
class Report:
    """What is in a dataset and what is wrong with it. `images` counts all, readable or not."""

    root: str
    images: int
    problems: tuple[Problem, ...]
    sha256: dict[str, str]  # of each readable image's bytes, by path relative to the root
    sizes: dict[str, tuple[int, int]]  # (height, width) of each readable image in pixels

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.is_error)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if not problem.is_error)

    def to_json(self) -> dict[str, Any]:
        """A document of kind "data-check"; the many hashes and sizes stay out of it, the median size is in."""
        height, width = _median_size(self.sizes.values()) if self.sizes else (None, None)
        return {
            "schema": SCHEMA,
            "kind": "data-check",
            "root": self.root,
            "images": self.images,
            "readable": len(self.sizes),
            "height": height,
            "width": width,
            "errors": [asdict(problem) for problem in self.errors],
            "warnings": [asdict(problem) for problem in self.warnings],
        }


def check(root: Path, *, workers: int | None = None, progress: Progress | None = None) -> Report:
    """Decode every image below `root` and list all that is wrong: the folders, files, duplicates, uneven classes.

    BadInput only where there is no folder to look into. `workers` is the number of processes, by default one per CPU.
    """
    listing = list_images(root)
    seen = inspect_files(root, list(listing.side_of()), workers, progress)
    readable = {file: result for file, result in seen.items() if isinstance(result, ImageFile)}
    problems = [
        *listing.problems,
        *(Problem(result.kind, file, result.text) for file, result in seen.items() if isinstance(result, Damage)),
        *_wrong_extensions(readable),
        *_duplicates(listing, readable),
        *_imbalance(listing),
    ]
    return Report(
        root=str(root),
        images=len(seen),
        problems=tuple(problems),
        sha256={file: image.sha256 for file, image in readable.items()},
        sizes={file: (image.height, image.width) for file, image in readable.items()},
    )


def verified_dataset(
    root: Path,
    *,
    index: Path | None = None,
    split_seed: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """The dataset below `root`, every image of it found readable; BadInput names the first file that is not.

    `index` is a file that remembers what was read, so that a second call opens only files whose size or time changed.
    """
    layout = open_dataset(root, split_seed=split_seed)
    files = list(layout.side_of())
    remembered = ImageIndex.load(index) if index else ImageIndex({})
    known = remembered.unchanged(root, files)
    fresh = inspect_files(root, [file for file in files if file not in known], workers, progress)
    readable = known | {file: result for file, result in fresh.items() if isinstance(result, ImageFile)}
    if index and readable != remembered.images:
        ImageIndex(readable).save(index)
    bad = [Problem(result.kind, file, result.text) for file, result in fresh.items() if isinstance(result, Damage)]
    if bad:
        more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise BadInput(f"{bad[0].line(root)}{more}; 'fastbs data check {shlex.quote(str(root))}' lists all such files")
    height, width = _median_size([(image.height, image.width) for image in readable.values()])
    return Dataset(
        root=os.path.abspath(root),
        classes=layout.classes,
        train=layout.train,
        validation=layout.validation,
        test=layout.test,
        split=layout.split,
        height=height,
        width=width,
        fingerprint=_fingerprint(readable, layout),
    )


def _wrong_extensions(readable: dict[str, ImageFile]) -> Iterator[Problem]:
    for file, image in readable.items():
        if file.lower().endswith(".png") != (image.format == "PNG"):
            yield Problem("wrong extension", file, f"a {image.format} by content; it is used as such")


def _duplicates(listing: Listing, readable: dict[str, ImageFile]) -> Iterator[Problem]:
    """Files with the same bytes as an earlier one; training images come first, so a copy elsewhere is the culprit."""
    divided = not any(problem.is_error for problem in listing.problems)
    side_of = divide(listing).side_of() if divided else listing.side_of()
    first: dict[str, str] = {}
    for file in sorted(readable, key=lambda file: (side_of[file] != "train", file)):
        other = first.setdefault(readable[file].sha256, file)
        if other == file:
            continue
        name, other_name = Path(file).parent.name, Path(other).parent.name
        text = f"the same bytes as {other}"
        if side_of[file] != side_of[other]:
            text += f", which is a {side_of[other]} image, and this a {side_of[file]} image; remove one"
            yield Problem("duplicate across the split", file, text)
        elif name != other_name:
            text += f", but it cannot be both {other_name} and {name}; remove one"
            yield Problem("duplicate across classes", file, text)
        else:
            yield Problem("duplicate", file, text)


def _imbalance(listing: Listing) -> Iterator[Problem]:
    counts = {name: len(files) for name, files in listing.sides.get("train", {}).items() if files}
    if not counts:
        return
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    ratio = counts[most] / counts[least]
    if ratio > UNEVEN:
        text = f"uneven classes: {counts[most]} of {most}, {counts[least]} of {least} ({ratio:.1f}x); "
        yield Problem("imbalance", ".", text + "read balanced accuracy beside top1")


def _median_size(sizes: Any) -> tuple[int, int]:
    heights, widths = zip(*sizes, strict=True)
    return median_low(heights), median_low(widths)


def _fingerprint(readable: dict[str, ImageFile], layout: Layout) -> str:
    digest = hashlib.sha256(layout.split.encode())
    for file in sorted(readable):
        digest.update(f"\n{readable[file].sha256} {file}".encode())
    return digest.hexdigest()[:16]
