"""One writer per folder: a lock that the kernel drops when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastbs.errors import BadInput
from fastbs.results.files import cannot_write


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold `path` exclusively. Another holder: wait for it (and say so), or BadInput that names its process.

    The lock is flock's: it needs a file system that honours flock (local ones do; NFS from version 4).
    """
    try:
        file = path.open("a+")
    except OSError as error:
        raise cannot_write(path, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            if not wait:
                raise BadInput(f"{path.parent}: process {holder} is writing here; wait for it or use --out") from None
            print(f"fastbs: {path.parent}: waiting for process {holder}", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), str(os.getpid()).encode())  # unbuffered: `close` cannot fail on it again
        except OSError as error:
            raise cannot_write(path, error) from error
        yield
