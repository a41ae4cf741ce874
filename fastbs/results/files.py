"""Files written whole or not at all, and JSON documents with a schema version."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastbs.errors import BadInput

SCHEMA = 1


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace `path` by `content`: a reader, or a crash at any moment, sees the old file or the new one.

    BadInput when the disk is full or the folder read-only; nothing half-written is left behind.
    """
    content = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def remove_leftovers(folder: Path) -> None:
    """Delete what killed processes had not finished writing; only for who holds the folder's lock."""
    for temporary in folder.rglob(".*.tmp"):
        temporary.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Create `path` and its parents; BadInput when that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def read_text(path: Path) -> str:
    """All of a text file; BadInput when that is not possible."""
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not a text file ({error.reason})") from error


def append_text(path: Path, text: str) -> None:
    """Add to what a file holds; BadInput when that is not possible."""
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise cannot_write(path, error) from error


def require_writable(path: Path) -> None:
    """Make the folder of a file that is to be written later; BadInput when it will not be possible."""
    make_folder(path.parent)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise cannot_write(path, error) from error


def is_storage_error(error: BaseException) -> bool:
    """True for a full disk, a quota or a size limit that was reached, and a file system that is read-only."""
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
    return isinstance(error, OSError) and error.errno in full


def cannot_write(path: Path, error: OSError) -> BadInput:
    return BadInput(f"{path}: cannot be written ({error.strerror or error}); choose another place")


def dump_json(document: Any) -> str:
    """JSON as written to files and to stdout: indented, with a final newline, never NaN or Infinity."""
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def write_json(path: Path, document: Any) -> None:
    write_atomic(path, dump_json(document))


def read_json(path: Path, kind: str) -> dict[str, Any]:
    """A document of this kind; BadInput when it is unreadable, foreign, or of a newer schema than this version's."""
    document = read_plain_json(path)
    if document.get("kind") != kind:
        raise BadInput(f"{path}: not a fastbs {kind} record")
    require_schema(document, path)
    return document


def require_schema(document: Mapping[str, Any], source: Path) -> None:
    """BadInput when `document` is of a newer schema than this version's, or says none."""
    schema = document.get("schema")
    if not isinstance(schema, int):
        raise BadInput(f"{source}: no schema version; not written by fastbs")
    if schema > SCHEMA:
        raise BadInput(f"{source}: schema {schema} is newer than {SCHEMA}; update fastbs to read it")


def read_plain_json(path: Path) -> dict[str, Any]:
    """A JSON object of anybody's; BadInput when it is unreadable or something else."""
    return parse_object(read_bytes(path), path)


def read_bytes(path: Path, limit: int | None = None) -> bytes:
    """All of a file; BadInput when that is not possible, or more than `limit` bytes."""
    try:
        with open(path, "rb") as file:
            content = file.read() if limit is None else file.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise BadInput(f"{path}: not a readable file ({reason})") from error
    if limit is not None and len(content) > limit:
        raise BadInput(f"{path}: more than {limit:,} bytes; leave out the raw rounds")
    return content


def parse_object(content: bytes, source: Path) -> dict[str, Any]:
    """The JSON object that `content` is. Numbers may still be NaN or infinite: who uses one checks it."""
    try:
        document = json.loads(content)
    except RecursionError as error:
        raise BadInput(f"{source}: not a readable JSON file (nested too deeply)") from error
    except ValueError as error:
        raise BadInput(f"{source}: not a readable JSON file ({error})") from error
    if not isinstance(document, dict):
        raise BadInput(f"{source}: not a JSON object")
    return document
