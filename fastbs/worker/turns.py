"""Take turns with another process that measures: while one works, the other waits."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

# Socket of who gives the turns, a space, and which of the parties this is. The socket has a name and no file (paths may
# be too long for one): "@" stands for the zero byte with which Linux marks such names, and which no variable can hold.
VARIABLE = "FASTBS_TURNS"
WAIT, DONE, LEAVE = "wait", "done", "leave"  # what is said there, a line each; WAIT and LEAVE are answered

Turn = Callable[[], AbstractContextManager[None]]


@contextmanager
def taking_turns() -> Iterator[Turn | None]:
    """`with turn():` around every stretch of work; None in a process that nobody shares the machine with.

    A stretch begins when all parties wait for theirs, so none of them computes meanwhile. Leaving waits for the others:
    what is done after the last stretch disturbs nobody.
    """
    given = os.environ.get(VARIABLE)
    if given is None:
        yield None
        return
    path, _, party = given.rpartition(" ")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path.replace("@", "\0", 1))
        line = connection.makefile("rw", encoding="ascii")

        def say(what: str, *, answered: bool) -> None:
            line.write(f"{what} {party}\n")
            line.flush()
            if answered:
                line.readline()

        @contextmanager
        def turn() -> Iterator[None]:
            say(WAIT, answered=True)
            try:
                yield
            finally:
                say(DONE, answered=False)

        try:
            yield turn
        finally:
            say(LEAVE, answered=True)


def turn_or_not(turn: Turn | None) -> AbstractContextManager[None]:
    return nullcontext() if turn is None else turn()
