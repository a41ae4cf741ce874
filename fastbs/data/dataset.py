"""What a set of labelled images is: its classes, its files, and which side of the split each file is on."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from fastbs.results.files import SCHEMA

Side = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Split:
    """One side: `files` are posix paths relative to the root, by class, then name; `labels` index the classes."""

    files: tuple[str, ...]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.files)


@dataclass(frozen=True)
class Dataset:
    """Images on disk that were all found readable. Holds no pixels and can be written as JSON."""

    root: str  # absolute path
    classes: tuple[str, ...]  # names, sorted; a label is an index into them
    train: Split
    validation: Split
    test: Split | None  # kept apart, never used for choosing; None where the folder has no third part
    split: str  # "folders", or how the images were divided: "stratified 75/25, seed 0"
    height: int  # pixels, median over all images as they are seen (after their EXIF rotation)
    width: int
    fingerprint: str  # 16 hex digits over names, contents and split: equal for the same images in another place

    @property
    def name(self) -> str:
        return Path(self.root).name

    def class_counts(self, side: Side) -> tuple[int, ...]:
        """Images per class on one side; ValueError for the test side where there is none."""
        split = {"train": self.train, "validation": self.validation, "test": self.test}[side]
        if split is None:
            raise ValueError(f"{self.name} has no {side} images")
        counts = Counter(split.labels)
        return tuple(counts[label] for label in range(len(self.classes)))

    @property
    def imbalance(self) -> float:
        """Images of the largest class over those of the smallest, in the training set; 1 is even."""
        counts = self.class_counts("train")
        return max(counts) / min(counts)

    def describe(self) -> dict[str, Any]:
        """What a record says about its images."""
        return {
            "name": self.name,
            "classes": len(self.classes),
            "train": len(self.train),
            "validation": len(self.validation),
            "test": None if self.test is None else len(self.test),
            "split": self.split,
            "height": self.height,
            "width": self.width,
            "fingerprint": self.fingerprint,
            "imbalance": self.imbalance,
        }

    def to_json(self) -> dict[str, Any]:
        """A document of kind "dataset", from which `from_json` makes an equal Dataset."""
        return {"schema": SCHEMA, "kind": "dataset"} | asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Dataset:
        def side(split: dict[str, list[Any]]) -> Split:
            return Split(tuple(split["files"]), tuple(split["labels"]))

        return cls(
            root=document["root"],
            classes=tuple(document["classes"]),
            train=side(document["train"]),
            validation=side(document["validation"]),
            test=None if document["test"] is None else side(document["test"]),
            split=document["split"],
            height=document["height"],
            width=document["width"],
            fingerprint=document["fingerprint"],
        )
