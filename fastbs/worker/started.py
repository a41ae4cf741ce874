"""When this process was asked for, on the system's monotonic clock."""

from __future__ import annotations

import os
import time

VARIABLE = "FASTBS_PROCESS_STARTED"
_imported = time.monotonic()


def process_started() -> float:
    """The moment the caller spawned this process (s, `time.monotonic`); of this import where no worker was used."""
    return float(os.environ.get(VARIABLE, _imported))
