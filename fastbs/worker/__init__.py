"""The fresh process: everything that is measured or trained runs in one of its own."""

from fastbs.worker.call import call
from fastbs.worker.outcome import OtherRankLost, Outcome, Unsupported
from fastbs.worker.started import process_started

__all__ = ["OtherRankLost", "Outcome", "Unsupported", "call", "process_started"]
