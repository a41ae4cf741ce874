"""Call a function in a fresh process and learn how it ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any

from fastbs.worker import failures, interruption
from fastbs.worker.environment import environment
from fastbs.worker.outcome import Outcome

PAUSE = 0.05  # seconds between looks at a process
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
    return start(target, arguments, threads=threads, env=env, lock=lock, log=log, show=show).wait(timeout)


def start(
    target: str,
    arguments: Mapping[str, Any],
    *,
    threads: int | None = None,
    env: Mapping[str, str | None] | None = None,
    lock: Path | None = None,
    log: Path | None = None,
    show: bool = False,
) -> Call:
    """The same without waiting for the end: several may be under way. The process dies with the thread that started it.

    Who takes the Call sees to its end: `wait`, or `kill`.
    """
    with ExitStack() as files:
        if log:
            printed: IO[bytes] = files.enter_context(open(log, "a+b"))
        else:
            printed = files.enter_context(tempfile.TemporaryFile())
        answer = files.enter_context(tempfile.TemporaryFile())
        printed_before, ooms_before, begin = printed.seek(0, os.SEEK_END), _kernel_ooms(), time.monotonic()
        asked = {
            "target": target,
            "arguments": dict(arguments),
            "parent": os.getpid(),
            "started": begin,
            "lock": str(lock) if lock else None,
        }
        with interruption.kept_for_children():
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "fastbs.worker", str(answer.fileno())],
                stdin=subprocess.PIPE,  # when we are interrupted in here it closes, and who was asked nothing leaves
                stdout=sys.__stderr__.fileno() if show and sys.__stderr__ else printed,
                stderr=None if show else printed,
                env=environment(threads, env),
                pass_fds=(answer.fileno(),),
            )
        call = Call(process, answer, printed, printed_before, ooms_before, begin, files.pop_all())
    try:
        call.ask(asked)
    except BaseException:
        call.kill()
        raise
    return call


class Call:
    """A function under way in a process of its own."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        answer: IO[bytes],
        printed: IO[bytes],
        printed_before: int,
        ooms_before: int,
        begin: float,
        files: ExitStack,
    ) -> None:
        self._process, self._answer, self._printed, self._files = process, answer, printed, files
        self._printed_before, self._ooms_before, self._begin = printed_before, ooms_before, begin

    def ask(self, request: Mapping[str, Any]) -> None:
        assert self._process.stdin
        with suppress(BrokenPipeError), self._process.stdin as stdin:  # it died: its end says how
            stdin.write(json.dumps(request).encode())

    def wait(self, timeout: float | None = None) -> Outcome:
        """How it ended; after `timeout` seconds it is killed and "stopped"."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return Outcome("stopped", f"time limit of {timeout:g} s", None, time.monotonic() - self._begin)
        else:
            return self._outcome()
        finally:
            self.kill()

    def wait_passing_on(self) -> Outcome:
        """How it ended; when we are asked to leave meanwhile, so is it."""
        told = False
        try:
            while (outcome := self.poll()) is None:
                if interruption.asked() and not told:
                    self.ask_to_leave()
                    told = True
                time.sleep(PAUSE)
            return outcome
        finally:
            self.kill()

    def poll(self) -> Outcome | None:
        """How it ended, None while it works. To be asked no more once it has said."""
        if self._process.poll() is None:
            return None
        try:
            return self._outcome()
        finally:
            self.kill()

    def ask_to_leave(self) -> None:
        """Have it save where it stands, and end."""
        self._process.send_signal(interruption.SIGNAL)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._files.close()

    def _outcome(self) -> Outcome:
        seconds = time.monotonic() - self._begin
        self._answer.seek(0)
        told = self._answer.read()
        if told:
            return Outcome(**json.loads(told), seconds=seconds)
        self._printed.seek(self._printed_before)
        printed = self._printed.read().decode(errors="replace")
        ended = failures.of_exit(self._process.returncode, printed, _kernel_ooms() > self._ooms_before)
        return Outcome(value=None, seconds=seconds, **ended)


def _kernel_ooms() -> int:
    """How many processes of this container the kernel has killed for memory so far; 0 where it does not say."""
    try:
        counts = dict(line.split() for line in CGROUP_EVENTS.read_text().splitlines())
    except OSError:
        return 0
    return int(counts.get("oom_kill", 0))
