"""How a fresh process ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Outcome:
    """`value` is what the target returned; it is None unless the status is ok."""

    status: Literal["ok", "oom", "unsupported", "failed", "stopped"]
    reason: str | None  # one line, None when ok
    value: Any
    seconds: float  # wall time from the start of the process to its end
    bad_input: bool = False  # failed because of what the user gave (exit code 2), reason says what
    other_rank_lost: bool = False  # failed because another process of the same run is gone or silent


class Unsupported(Exception):
    """Raised by a target for work that cannot exist, for example BatchNorm over a single value."""


class OtherRankLost(Exception):
    """Raised by a target that is one of several ranks, when another one is gone or silent."""
