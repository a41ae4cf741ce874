"""Being asked to leave soon: SIGUSR2, which Slurm sends before it takes a node away."""

from __future__ import annotations

import signal
import threading

SIGNAL = signal.SIGUSR2
_asked = threading.Event()


class Interrupted(Exception):
    """Raised by a target that was asked to leave and has saved where it stands; the same call continues there."""


def listen() -> None:
    """From here on the signal is remembered and ends nothing; who works asks `asked` now and then."""
    if threading.current_thread() is threading.main_thread():  # Python lets no other set a handler
        signal.signal(SIGNAL, lambda *_: _asked.set())


def asked() -> bool:
    return _asked.is_set()
