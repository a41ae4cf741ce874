"""Call a function in a fresh process and learn how it ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastbs.worker import failures
from fastbs.worker.environment import environment
from fastbs.worker.outcome import Outcome

CGROUP_EVENTS = Path("/sys/fs/cgroup/memory.events")


def call(
    target: str,
    arguments: Mapping[str, Any],
    *,
    threads: int | None = None,
    env: Mapping[str, str | None] | None = None,
    timeout: float | None = None,
    lock: Path | None = None,
    log: Path | None = None,
    show: bool = False,
) -> Outcome:
    """Run `target` ("module:function") with JSON keyword arguments in a fresh process.

    The process dies with its caller, holds `lock` (a file) while it works, and writes what it and its libraries print
    to `log` (appended), or to our own stderr when `show`; stdout stays ours. What the function returns must be JSON.
    """
    with open(log, "a+b") if log else tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as answer:
        printed_before = printed.seek(0, os.SEEK_END)
        ooms_before = _kernel_ooms()
        start = time.monotonic()
        request = {
            "target": target,
            "arguments": dict(arguments),
            "parent": os.getpid(),
            "started": start,
            "lock": str(lock) if lock else None,
        }
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "fastbs.worker", str(answer.fileno())],
            stdin=subprocess.PIPE,
            stdout=sys.__stderr__.fileno() if show and sys.__stderr__ else printed,
            stderr=None if show else printed,
            env=environment(threads, env),
            pass_fds=(answer.fileno(),),
        )
        try:
            process.communicate(json.dumps(request).encode(), timeout)
        except subprocess.TimeoutExpired:
            return Outcome("stopped", f"time limit of {timeout:g} s", None, time.monotonic() - start)
        finally:
            process.kill()
            process.wait()
        seconds = time.monotonic() - start
        answer.seek(0)
        told = answer.read()
        if told:
            return Outcome(**json.loads(told), seconds=seconds)
        printed.seek(printed_before)
        ended = failures.of_exit(
            process.returncode, printed.read().decode(errors="replace"), _kernel_ooms() > ooms_before
        )
        return Outcome(value=None, seconds=seconds, **ended)


def _kernel_ooms() -> int:
    """How many processes of this container the kernel has killed for memory so far; 0 where it does not say."""
    try:
        counts = dict(line.split() for line in CGROUP_EVENTS.read_text().splitlines())
    except OSError:
        return 0
    return int(counts.get("oom_kill", 0))
