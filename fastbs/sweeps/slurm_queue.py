"""What Slurm says about jobs."""

from __future__ import annotations

import re
import subprocess
import time

from fastbs.errors import BadInput

OFTEN, SELDOM = 0.5, 10.0  # seconds between questions: at first, and after some minutes
PATIENCE = 600.0  # seconds that a controller may be away while its jobs are waited for


class SlurmQueue:
    """The user's jobs that wait or run, asked for by all who wait together and no more often than a cluster bears."""

    def __init__(self) -> None:
        self._jobs: dict[str, str] = {}
        self._begin = time.monotonic()
        self._tried = -SELDOM
        self.known_at = -SELDOM  # when Slurm last answered, on the monotonic clock

    def jobs(self) -> dict[str, str]:
        """Name of each job by its number, as last heard. BadInput when Slurm has not answered for ten minutes."""
        now = time.monotonic()
        if now - self._tried >= min(SELDOM, max(OFTEN, (now - self._begin) / 20)):
            self._tried = now
            try:
                self.ask()
            except BadInput:
                if now - self.known_at > PATIENCE:
                    raise
        return self._jobs

    def ask(self) -> dict[str, str]:
        """The same as of now. BadInput when Slurm does not answer."""
        begin = time.monotonic()
        said = _ask("squeue", "--me", "--noheader", "--format", "%i %j")
        self._jobs = dict(line.split(" ", 1) for line in said.splitlines())
        self.known_at = begin
        return self._jobs


def ending(job: str) -> str:
    """How a job ended, as far as Slurm still knows: "ended FAILED, exit code 0:9"."""
    try:
        said = _ask("scontrol", "--oneliner", "show", "job", job)
    except BadInput:
        return "is gone"
    state, code = (re.search(rf"\b{name}=(\S+)", said) for name in ("JobState", "ExitCode"))
    return f"ended {state[1]}, exit code {code[1]}" if state and code else "is gone"


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BadInput(f"executor: {command[0]} does not answer ({error}); use a machine of the cluster") from error
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise BadInput(f"executor: {command[0]}: {said}; what was submitted goes on, the same command finds it")
    return done.stdout
