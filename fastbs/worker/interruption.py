"""Being asked to leave soon: SIGUSR2, which Slurm sends before it takes a node away."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNAL = signal.SIGUSR2
_asked = threading.Event()


class Interrupted(Exception):
    """Raised by a target that was asked to leave and has saved where it stands; the same call continues there."""


def listen() -> None:
    """From here on the signal is remembered and ends nothing; who works asks `asked` now and then."""
    if threading.current_thread() is threading.main_thread():  # Python lets no other set a handler
        signal.signal(SIGNAL, lambda *_: _asked.set())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {SIGNAL})


@contextmanager
def kept_for_children() -> Iterator[None]:
    """A process that is started in here is not ended by a signal that comes before it listens: it gets it then."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def asked() -> bool:
    return _asked.is_set()
