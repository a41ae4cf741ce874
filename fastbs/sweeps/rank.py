"""One of several processes that make a run together: it watches over the one that trains, and tells how it ended."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from fastbs import worker
from fastbs.config import RunConfig
from fastbs.errors import BadInput
from fastbs.results.files import read_json, write_atomic
from fastbs.results.run_folder import RunFolder
from fastbs.sweeps.last_words import LastWords, Wake
from fastbs.sweeps.open_run import open_run
from fastbs.worker import interruption
from fastbs.worker.lifetime import die_with
from fastbs.worker.ranks import Rank, own_rank

BAD_INPUT, INTERRUPTED = 2, 130  # exit codes


class _EndedByTorchrun(Exception):
    """SIGTERM: another rank has died, or somebody wants the run to end."""


def train_as_rank(run: RunConfig, out: Path, here: Rank) -> dict[str, Any]:
    """Make or continue `run` in `out` as one of its ranks: run.json on rank 0, {"status", "reason"} elsewhere.

    Elsewhere a rank is ok that took part to the end, however the run ended. A process of its own trains; this one
    leaves soon after, and from then on ignores SIGTERM: torchrun sends it when another rank has left before.

    Where a rank has died, the record says which and why: failed, oom or unsupported. It is written by rank 0, or by the
    first on its host that lives. KeyboardInterrupt where all lived when SIGTERM came, or were asked to leave: the run
    is left open, and the same command continues it.
    """
    die_with(os.getppid())
    folder, wake = RunFolder(out), Wake(out, here)
    with wake.present():
        try:
            with _sigterm_as_exception():
                outcome = _train(run, out, here, wake)
        except _EndedByTorchrun:
            outcome = None
        if outcome is not None and outcome.status == "ok":
            return read_json(folder.document, "run") if here.rank == 0 else {"status": "ok", "reason": None}
        words = LastWords.of(outcome, here)
        wake.say(words)
        cause = wake.cause(words)
        if cause is None:
            raise KeyboardInterrupt
        if cause.bad_input and here.rank in (0, cause.rank):
            raise BadInput(cause.told)
        if not cause.bad_input and wake.is_heir():
            wake.record(cause)
        return read_json(folder.document, "run") if here.rank == 0 else {"status": cause.status, "reason": cause.told}


def _train(run: RunConfig, out: Path, here: Rank, wake: Wake) -> worker.Outcome:
    """Begin the run, on rank 0, and train in a process of its own: how that ended."""
    plan = None
    if here.rank == 0:
        plan = open_run(run, out, here) | {"arm": "main", "folder": str(out)}
        wake.clear()
    return worker.start(
        "fastbs.training.rank:train",
        {"asked": run.to_json() | {"out": str(out.resolve())}, "plan": plan},
        threads=plan["config"]["threads"] if plan else run.threads,
        lock=RunFolder(out).lock if plan else None,
        show=True,
    ).wait_passing_on()


@contextmanager
def _sigterm_as_exception() -> Iterator[None]:
    """_EndedByTorchrun at the first SIGTERM; the others, and those that come later, are ignored."""

    def end(*_: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise _EndedByTorchrun

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def main() -> NoReturn:
    """`python -m fastbs.sweeps.rank '[config, out]'`, as our launcher starts it; bad input is left where it looks."""
    interruption.listen()
    config, out = json.loads(sys.argv[1])
    rank = own_rank()
    assert rank is not None
    try:
        document = train_as_rank(RunConfig.from_json(config), Path(out), rank)
    except BadInput as error:
        write_atomic(Path(os.environ["TORCHELASTIC_ERROR_FILE"]), json.dumps({"message": str(error)}))
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(0 if document["status"] == "ok" else 1)


if __name__ == "__main__":
    main()
