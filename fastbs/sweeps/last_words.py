"""Which of several ranks died, and of what: what is found out by those that are left.

A rank whose training process ends for a reason of its own leaves its last words in the run's folder. One that is killed
itself leaves none, but the kernel takes back the name that it held on its host.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from fastbs.results.files import make_folder, read_json, write_atomic
from fastbs.results.lock import locked
from fastbs.results.record import Status
from fastbs.results.run_folder import RunFolder
from fastbs.worker import Outcome
from fastbs.worker.ranks import Rank

PATIENCE = 5.0  # s, after losing another rank, until its last words are here
NOTICE = 1.0  # s, when torchrun ends us: who died did so before


@dataclass(frozen=True, kw_only=True)
class LastWords:
    rank: int
    status: Status
    reason: str
    at: float  # seconds since 1970
    bad_input: bool = False
    follows: Literal["other-rank-lost", "told-to-end"] | None = None  # the end of another rank; None: a cause itself

    @classmethod
    def of(cls, outcome: Outcome | None, here: Rank) -> Self:
        """`outcome` of the training process; None where torchrun told this rank to end."""
        if outcome is None:
            return cls(rank=here.rank, status="failed", reason="told to end", at=time.time(), follows="told-to-end")
        return cls(
            rank=here.rank,
            status=outcome.status,
            reason=outcome.reason or "",
            at=time.time(),
            bad_input=outcome.bad_input,
            follows="other-rank-lost" if outcome.other_rank_lost else "told-to-end" if outcome.interrupted else None,
        )

    @property
    def told(self) -> str:
        return f"rank {self.rank}: {self.reason}"


class Wake:
    """What the ranks of one start know of each other's end."""

    def __init__(self, out: Path, here: Rank) -> None:
        self._folder, self._here = RunFolder(out), here
        self._words = out / "ranks"
        first = here.rank - here.local_rank
        self._neighbours = [rank for rank in range(first, first + here.local_ranks) if rank != here.rank]

    @contextmanager
    def present(self) -> Iterator[None]:
        """Hold our name on this host, as long as this process lives or the block lasts."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as name:
            name.bind(self._name(self._here.rank))
            yield

    def clear(self) -> None:
        """Forget the words of an earlier start."""
        shutil.rmtree(self._words, ignore_errors=True)

    def say(self, words: LastWords) -> None:
        """Leave our last words, if the run has begun: before that there is no folder to leave them in."""
        if self._is_ours():
            make_folder(self._words)
            write_atomic(self._words / f"{words.rank}.json", json.dumps(dataclasses.asdict(words)))

    def cause(self, own: LastWords) -> LastWords | None:
        """The first death, where we end with `own` words; None: nobody died before torchrun told us to end."""
        if own.follows is None and not self._is_ours():
            return own
        until = time.monotonic() + (NOTICE if own.follows == "told-to-end" else PATIENCE)
        while (found := self._found()) is None and time.monotonic() < until:
            time.sleep(0.05)
        if found is not None or own.follows == "told-to-end":
            return found
        silent = sorted(set(range(self._here.ranks)) - {words.rank for words in self._said()})
        if not silent:
            return own
        return dataclasses.replace(own, reason=f"no answer from rank {', '.join(map(str, silent))} ({own.reason})")

    def is_heir(self) -> bool:
        """Whether it is ours to write the record: rank 0, or the first on its host that is there."""
        return self._here.host == 0 and not any(
            self._is_present(rank) for rank in self._neighbours if rank < self._here.rank
        )

    def record(self, cause: LastWords) -> None:
        with locked(self._folder.lock, wait=True):
            if self._is_ours():
                self._folder.finish(cause.status, cause.told, None)

    def _found(self) -> LastWords | None:
        gone = [rank for rank in self._neighbours if not self._is_present(rank)]  # before the words: it said them first
        said = self._said()
        if causes := [words for words in said if words.follows is None]:
            return min(causes, key=lambda words: words.at)
        killed = sorted(set(gone) - {words.rank for words in said})
        if killed and self._is_ours():
            return LastWords(rank=killed[0], status="failed", reason="killed, without a last word", at=time.time())
        return None

    def _said(self) -> list[LastWords]:
        return [LastWords(**json.loads(path.read_text())) for path in sorted(self._words.glob("[0-9]*.json"))]

    def _is_ours(self) -> bool:
        """Whether the folder holds the run that this start of the ranks has begun, and which has not ended."""
        if not self._folder.document.exists():
            return False
        document = read_json(self._folder.document, "run")
        world = document.get("world") or {}
        return document["status"] == "running" and world.get("launch") == self._here.launch

    def _is_present(self, rank: int) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as caller:
            try:
                caller.connect(self._name(rank))
            except ConnectionRefusedError:
                return False
            return True

    def _name(self, rank: int) -> str:
        """In Linux's list of names without files, which the kernel cleans."""
        return f"\0fastbs-{hashlib.sha256(self._here.launch.encode()).hexdigest()[:16]}-{rank}"
