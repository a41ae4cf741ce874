"""The fresh process: everything that is measured or trained runs in one of its own."""

from fastbs.worker.call import Call, call, start
from fastbs.worker.interruption import Interrupted
from fastbs.worker.outcome import OtherRankLost, Outcome, Unsupported
from fastbs.worker.started import process_started
from fastbs.worker.together import call_together

__all__ = [
    "Call",
    "Interrupted",
    "OtherRankLost",
    "Outcome",
    "Unsupported",
    "call",
    "call_together",
    "process_started",
    "start",
]
