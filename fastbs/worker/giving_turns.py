"""Give turns to the two processes of a pair: one works while the other waits."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fastbs.worker.turns import DONE, LEAVE, WAIT


class Turns:
    """Who of `parties` may work. A turn is given when all that are still there wait; the first one to party `first`."""

    def __init__(self, address: str, parties: int, first: int) -> None:
        self.address = address
        self._change = threading.Condition()
        self._there = set(range(parties))
        self._waiting: list[int] = []
        self._working: int | None = None
        self._next = first

    def left(self, party: int) -> None:
        """It has ended, or never came: nobody waits for it any more."""
        with self._change:
            self._there.discard(party)
            if party in self._waiting:
                self._waiting.remove(party)
            self._release(party)
            self._change.notify_all()

    def serve(self, connection: socket.socket) -> None:
        """What one party says, until it is gone."""
        party: int | None = None
        try:
            with connection, connection.makefile("rw", encoding="ascii") as line:
                for said in line:
                    what, _, number = said.strip().partition(" ")
                    party = int(number)
                    if what == DONE:
                        self._done(party)
                        continue
                    if what == WAIT:
                        self._wait(party)
                    elif what == LEAVE:
                        self.left(party)
                        self._until_all_left()
                    line.write("go\n")
                    line.flush()
        except OSError:
            pass  # it died while it waited: the same as having left
        finally:
            if party is not None:
                self.left(party)

    def _wait(self, party: int) -> None:
        with self._change:
            self._waiting.append(party)
            self._change.notify_all()
            self._change.wait_for(lambda: self._may(party) or party not in self._there)
            if party in self._there:
                self._waiting.remove(party)
                self._working = party

    def _may(self, party: int) -> bool:
        everybody_waits = self._working is None and set(self._waiting) == self._there
        return everybody_waits and (self._next == party or self._next not in self._there)

    def _done(self, party: int) -> None:
        with self._change:
            self._release(party)
            self._change.notify_all()

    def _release(self, party: int) -> None:
        if self._working == party:
            self._working = None
        if self._next == party:
            self._next = min((other for other in self._there if other > party), default=min(self._there, default=party))

    def _until_all_left(self) -> None:
        with self._change:
            self._change.wait_for(lambda: not self._there)


@contextmanager
def giving_turns(parties: int, first: int) -> Iterator[Turns]:
    """Turns for processes that are started inside; each is told `address` and which party it is."""
    with socket.socket(socket.AF_UNIX) as listening:
        address = f"@fastbs-{os.getpid()}-{secrets.token_hex(8)}"
        listening.bind(address.replace("@", "\0", 1))
        listening.listen(parties)
        turns = Turns(address, parties, first)
        threading.Thread(target=_accept, args=(listening, turns), daemon=True).start()
        yield turns
        listening.shutdown(socket.SHUT_RDWR)


def _accept(listening: socket.socket, turns: Turns) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return  # all is measured
        threading.Thread(target=turns.serve, args=(connection,), daemon=True).start()
