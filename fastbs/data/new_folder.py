"""A folder that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastbs.errors import BadInput


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target` to build in, renamed to `target` when the block ends well, else removed.

    BadInput when `target` is a file or holds anything, and when writing fails (full disk, read-only folder): inside the
    block, OSErrors of anything but writing must be handled by the block itself.
    """
    require_new(target)
    place = Path(os.path.abspath(target))
    temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    try:
        try:
            temporary.mkdir(parents=True)
            yield temporary
            os.rename(temporary, place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInput(f"{target}: cannot be written ({reason}); free space or choose another folder") from error


def require_new(target: Path) -> None:
    """BadInput unless `target` is a new name or an empty folder other than the current one."""
    if target.is_dir():
        if any(target.iterdir()):
            raise BadInput(f"{target}: not empty; name a new folder")
        if target.samefile(Path.cwd()):
            raise BadInput(f"{target}: the current folder cannot be replaced; name a new folder")
    elif target.exists():
        raise BadInput(f"{target}: a file, not a folder; name a new folder")
