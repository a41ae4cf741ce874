"""One thing that is wrong with a dataset, and whether training refuses it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

ErrorKind = Literal[
    "layout",  # the folders do not say what the classes or the sides of the split are
    "empty class",
    "empty file",
    "truncated",
    "unreadable",
    "not JPEG or PNG",
]
WarningKind = Literal[
    "not used",
    "wrong extension",
    "duplicate",
    "duplicate across classes",
    "duplicate across the split",
    "imbalance",
]
WARNINGS = frozenset(get_args(WarningKind))


@dataclass(frozen=True)
class Problem:
    kind: ErrorKind | WarningKind
    path: str  # posix, relative to the dataset's root; "." is the root itself
    text: str  # what is wrong, without the path

    @property
    def is_error(self) -> bool:
        """Training refuses a dataset with errors; warnings are for the person to judge."""
        return self.kind not in WARNINGS

    def line(self, root: Path) -> str:
        return f"{(root / self.path).as_posix()}: {self.text}"
