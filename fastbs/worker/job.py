"""A function call as a batch job: asked for in one file, answered in another, on whichever machine it lands."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path

from fastbs.results.job_files import JobFiles
from fastbs.worker import interruption
from fastbs.worker.__main__ import answer_to
from fastbs.worker.outcome import Outcome

INTERRUPTED = 130  # exit code of a job that has saved where it stands and is to be started again


def main(folder: str, name: str) -> int:
    """Exit code: 0 when the answer is written, whatever it says."""
    interruption.listen()
    begin = time.monotonic()
    files = JobFiles(Path(folder), name)
    outcome = Outcome(**answer_to({**(files.asked() or {}), "lock": None}), seconds=time.monotonic() - begin)
    if outcome.interrupted:
        return INTERRUPTED
    files.write_answer(dataclasses.asdict(outcome))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
