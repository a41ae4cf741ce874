"""A data set without images, for the `synthetic` loader: only its shape is real."""

from __future__ import annotations

from fastbs.data.dataset import Dataset, Split


def imaginary_dataset(*, classes: int, side: int, images: int) -> Dataset:
    """`images` for training and as many for validation, (side, side) pixels, spread evenly over the classes."""
    listing = Split(("imaginary",) * images, tuple(number % classes for number in range(images)))
    return Dataset(
        root="imaginary",
        classes=tuple(f"class-{number}" for number in range(classes)),
        train=listing,
        validation=listing,
        test=None,
        split="imaginary",
        height=side,
        width=side,
        fingerprint="imaginary",
    )
