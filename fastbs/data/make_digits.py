"""Scikit-learn's handwritten digits as class folders: real images that need no download."""

from __future__ import annotations

from pathlib import Path

from fastbs.data.new_folder import new_folder
from fastbs.errors import BadInput

SIZE = 32  # pixels; the originals are 8x8, too small for three pooling layers


def make_digits(target: Path) -> int:
    """Write `target/0` ... `target/9` with 1,797 grey PNG images of 32x32 pixels; returns their number.

    The images are those of sklearn.datasets.load_digits (8x8, 0..16; the test set of UCI's Optical Recognition of
    Handwritten Digits), scaled to 0..255 and enlarged bilinearly. The same bytes every time, on every machine: the
    files are not compressed, because compressors differ between builds of Pillow.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise BadInput("digits: scikit-learn is not installed; pip install 'fastbs[train]'") from error
    from PIL import Image

    digits = load_digits()
    pixels = (digits.images * 255 / 16).round().astype("uint8")
    with new_folder(target) as folder:
        for name in digits.target_names:
            (folder / str(name)).mkdir()
        for number, (image, label) in enumerate(zip(pixels, digits.target, strict=True)):
            enlarged = Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
            enlarged.save(folder / str(label) / f"{number:04d}.png", compress_level=0)
    return len(pixels)
