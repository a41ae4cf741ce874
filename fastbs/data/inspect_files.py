"""Many image files inspected, on all CPUs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from fastbs.data.image_file import Damage, ImageFile, inspect_all, unpack
from fastbs.worker import call

FILES_PER_PROCESS = 512  # some tenths of a second of work at least, against a tenth to start a process

Progress = Callable[[int, int], None]  # images done, images in total


def inspect_files(
    root: Path, files: Sequence[str], workers: int | None, progress: Progress | None
) -> dict[str, ImageFile | Damage]:
    """What each of `files` (paths relative to `root`) is, in their order.

    Many files go to fresh processes, `workers` at a time (default: one per CPU), because Pillow holds Python's lock
    while it decodes a JPEG: two threads are as fast as one.
    """
    parts = [files[start : start + FILES_PER_PROCESS] for start in range(0, len(files), FILES_PER_PROCESS)]
    run = _in_fresh_process if len(parts) > 1 else inspect_all
    seen: dict[str, ImageFile | Damage] = {}
    with ThreadPoolExecutor(workers or _cpus()) as pool:
        try:
            running = {pool.submit(run, str(root), part): part for part in parts}
            for done in as_completed(running):
                seen |= zip(running[done], map(unpack, done.result()), strict=True)
                if progress:
                    progress(len(seen), len(files))
        finally:
            pool.shutdown(cancel_futures=True)
    return {file: seen[file] for file in files}


def _in_fresh_process(root: str, files: Sequence[str]) -> list[list[object]]:
    outcome = call(f"{inspect_all.__module__}:inspect_all", {"root": root, "files": list(files)}, threads=1)
    if outcome.status != "ok":
        raise RuntimeError(f"decoding {root}/{files[0]} ... {files[-1]} ended as {outcome.status}: {outcome.reason}")
    rows: list[list[object]] = outcome.value
    return rows


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
