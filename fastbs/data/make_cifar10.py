"""CIFAR-10 as class folders of lossless PNG, from the official archive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastbs.data.cifar_archive import SIDES, CifarArchive
from fastbs.data.download import checksum, download
from fastbs.data.new_folder import new_folder, require_new
from fastbs.errors import BadInput

DEFAULT_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
PUBLISHED_MD5 = "c58f30108f718f92721af3b95e74349a"  # on the page that links the archive

Progress = Callable[[str, int, int], None]  # what is counted ("bytes" or "images"), done, total (0 if not known)


def make_cifar10(
    target: Path,
    *,
    source: Path | None = None,
    url: str = DEFAULT_URL,
    md5: str = PUBLISHED_MD5,
    pause: float = 2.0,
    progress: Progress | None = None,
) -> int:
    """Write `target/train/<class>/` and `target/test/<class>/`; returns the number of images (50,000 + 10,000).

    `source` is the archive where it was fetched by other means; otherwise it comes from `url` into a `.part` file
    beside `target`, is continued there after an interruption (`pause` seconds between tries), and removed at the end.
    Files are numbered as in the archive. BadInput, and no `target`, when anything is not as it should be.
    """
    require_new(target)
    archive = source or target.parent / f"{url.rpartition('/')[2]}.part"
    if source:
        _verify(source, md5)
    else:
        count_bytes = (lambda done, total: progress("bytes", done, total)) if progress else None
        way_out = f"or fetch {url} by other means and pass it with --from FILE"
        download(url, archive, md5, way_out=f"try again, {way_out}", pause=pause, progress=count_bytes)
    with CifarArchive(archive) as images:
        count = _write(images, target, progress)
    if not source:
        archive.unlink()
    return count


def _verify(source: Path, md5: str) -> None:
    try:
        found = checksum(source)
    except OSError as error:
        raise BadInput(f"{source}: cannot be read ({error.strerror}); name the archive that was fetched") from error
    if found != md5:
        raise BadInput(f"{source}: its MD5 is {found} instead of the published {md5}; fetch it again")


def _write(images: CifarArchive, target: Path, progress: Progress | None) -> int:
    from PIL import Image

    classes = images.class_names()
    total, done = 0, 0
    with new_folder(target) as folder:
        for side, batches in SIDES.items():
            for name in classes:
                (folder / side / name).mkdir(parents=True)
            number = 0
            for batch in batches:
                pixels, labels = images.batch(batch, len(classes))
                total = total or len(pixels) * sum(map(len, SIDES.values()))
                for image, label in zip(pixels, labels, strict=True):
                    Image.fromarray(image).save(folder / side / classes[label] / f"{number:05d}.png")
                    number, done = number + 1, done + 1
                    if progress:
                        progress("images", done, total)
    return done
