"""What a net sees of an image in evaluation; a deployed net must be fed the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# ImageNet's mean and standard deviation for red, green, blue, in pixel values 0..255.
MEAN = (255 * 0.485, 255 * 0.456, 255 * 0.406)
STD = (255 * 0.229, 255 * 0.224, 255 * 0.225)

LARGE = 128  # pixels: from here on photographs, whose border is cut away


def shorter_side(image_size: int) -> int:
    """Length to which the shorter side is resized before the central square is cut out, pixels.

    Large images lose an eighth (256 for 224, ImageNet's custom); small ones, such as digits, lose nothing.
    """
    return image_size * 8 // 7 if image_size >= LARGE else image_size


def preprocessing(classes: Sequence[str], image_size: int) -> dict[str, Any]:
    """The whole way from a decoded image to the net's input and back to a class name, to be stored with a model.

    Resize so that the shorter side has `resize_shorter` pixels (nothing if it has), cut out the central square,
    subtract `mean` and divide by `std`, both for pixel values 0..255.
    """
    return {
        "color": "RGB",
        "resize_shorter": shorter_side(image_size),
        "interpolation": "bilinear, antialiased",
        "crop": image_size,
        "mean": list(MEAN),
        "std": list(STD),
        "classes": list(classes),
    }
