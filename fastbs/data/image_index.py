"""What was read of each image file, remembered, so that a file is decoded again only after it changed."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from fastbs.data.image_file import ImageFile
from fastbs.results.files import SCHEMA, read_json, write_atomic

KIND = "image-index"


@dataclass(frozen=True)
class ImageIndex:
    """Readable images by path relative to the dataset's root."""

    images: dict[str, ImageFile]

    @classmethod
    def load(cls, path: Path) -> ImageIndex:
        """The index at `path`, empty when there is none yet; BadInput when the file is something else."""
        if not path.exists():
            return cls({})
        return cls({file: ImageFile(*row) for file, row in read_json(path, KIND)["files"].items()})

    def save(self, path: Path) -> None:
        files = {file: astuple(image) for file, image in self.images.items()}
        write_atomic(path, json.dumps({"schema": SCHEMA, "kind": KIND, "files": files}))

    def unchanged(self, root: Path, files: Sequence[str]) -> dict[str, ImageFile]:
        """Those of `files` that still have the size and the modification time with which they were read."""
        known = {file: self.images[file] for file in files if file in self.images}
        return {file: image for file, image in known.items() if _stamp(root / file) == (image.bytes, image.mtime_ns)}


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None  # gone since it was listed: reading it will say so
    return status.st_size, status.st_mtime_ns
