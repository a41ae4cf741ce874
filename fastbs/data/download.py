"""One file fetched from the web: resumed after an interruption, and trusted only with its published checksum."""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from fastbs.errors import BadInput

ATTEMPTS, PAUSE, TIMEOUT = 5, 2.0, 60.0  # tries in a row without a new byte, seconds between them, seconds of silence
BLOCK = 1 << 20

Progress = Callable[[int, int], None]  # bytes done, bytes in total (0 where the server does not say)


def download(
    url: str, part: Path, md5: str, *, way_out: str, pause: float = PAUSE, progress: Progress | None = None
) -> None:
    """Fetch `url` into `part`, continuing what an earlier call left there, and verify it.

    A server that does not know Range requests sends all again. BadInput ends with `way_out`, when the server cannot be
    reached (what came so far is kept), and when the checksum is wrong (what came is removed).
    """
    if part.exists() and checksum(part) == md5:
        return
    failures = 0
    while True:
        before = _size(part)
        try:
            if _fetch(url, part, progress):
                break
            reason = "the connection ended early"
        except (OSError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", error))
            if isinstance(error, urllib.error.HTTPError) and error.code < http.client.INTERNAL_SERVER_ERROR:
                raise BadInput(f"{url}: {error.code} {reason}; {way_out}") from error
        failures = 0 if _size(part) > before else failures + 1
        if failures == ATTEMPTS:
            raise BadInput(f"{url}: cannot be downloaded ({reason}); {way_out}")
        time.sleep(pause)
    found = checksum(part)
    if found != md5:
        part.unlink()
        raise BadInput(f"{url}: its MD5 is {found} instead of the published {md5}; {way_out}")


def checksum(path: Path) -> str:
    """MD5 of a file as 32 hex digits: what publishers publish, against accidents, not against attackers."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _fetch(url: str, part: Path, progress: Progress | None) -> bool:
    """One request for what is still missing. True when the server has sent all that it announced."""
    have = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        part.unlink()  # longer than the file is now: something else, start again
        return False
    with response:
        continued = response.status == http.client.PARTIAL_CONTENT
        have = have if continued else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else 0
        with _open(part, "ab" if continued else "wb") as file:
            while block := response.read1(BLOCK):
                _write(file, block)
                have += len(block)
                if progress:
                    progress(have, total)
    return not total or have == total


def _open(part: Path, mode: Literal["ab", "wb"]) -> io.FileIO:
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        return open(part, mode, buffering=0)
    except OSError as error:
        raise _cannot_write(part, error) from error


def _write(file: io.FileIO, block: bytes) -> None:
    rest = memoryview(block)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:  # the disk's fault, not the network's: trying again would not help
        raise _cannot_write(Path(os.fsdecode(file.name)), error) from error


def _cannot_write(part: Path, error: OSError) -> BadInput:
    return BadInput(f"{part}: cannot be written ({error.strerror}); free space or choose another folder")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
