"""The images that a bench reads: the user's, or digits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from fastbs.data.check import verified_dataset
from fastbs.data.dataset import Dataset
from fastbs.data.make_digits import make_digits


@contextmanager
def bench_images(data: str | None) -> Iterator[Dataset]:
    """The verified images below `data`; without it, digits that are gone after the block. BadInput if unreadable."""
    if data is not None:
        yield verified_dataset(Path(data))
        return
    with TemporaryDirectory() as scratch:
        digits = Path(scratch) / "digits"
        make_digits(digits)
        yield verified_dataset(digits)
