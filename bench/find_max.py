"""The largest batch that runs: the answer is a size that ran whole, in a fresh process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastbs import worker
from fastbs.errors import BadInput

TARGET = "fastbs.bench.try_size:try_size"
SHARE = 16  # the answer is known to within 1/16 of itself


def find_max(settings: Mapping[str, Any], *, first: int, limit: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """{"batch_size", "bound", "memory", "tried"} of the largest batch that `try_size(**settings)` really ran.

    From `first` (at most `limit`) the size is doubled while it runs, or halved until one runs; then the gap to the
    smallest size that ran out of memory is bisected down to 1/16. Each size is tried once, in a process of its own;
    after one ran out of memory none above it is tried, so a larger one that would run (another algorithm) goes unseen.

    batch_size: None when nothing ran; memory: bytes that it held, as `memory_held` says. tried: [{"batch_size",
    "status", "reason"}, ...] in order. bound: what ended the search: "memory" of the card, "free memory" of the machine
    (which a try on a CPU keeps to by RLIMIT_DATA, else the kernel might kill a neighbour for it), "limit", or the
    status of a size that ended otherwise. `progress` gets a line per try. BadInput is raised at once.
    """
    tried: list[dict[str, Any]] = []
    memory, ran, too_large = None, 0, None
    bound = "free memory" if settings["device"] == "cpu" else "memory"
    size: int | None = min(first, limit)
    while size is not None:
        outcome = worker.call(TARGET, {**settings, "batch_size": size}, threads=settings["threads"])
        if outcome.bad_input:
            raise BadInput(outcome.reason or "")
        tried.append({"batch_size": size, "status": outcome.status, "reason": outcome.reason})
        progress(f"batch size {size:,}: " + ": ".join(filter(None, (outcome.status, outcome.reason))))
        if outcome.status == "ok":
            ran, memory = size, outcome.value["memory"]
        elif outcome.status == "oom":
            too_large = size
        else:
            bound = outcome.status
            break
        if ran == limit:
            bound = "limit"
        size = _next_size(ran, too_large, limit)
    return {"batch_size": ran or None, "bound": bound, "memory": memory, "tried": tried}


def _next_size(ran: int, too_large: int | None, limit: int) -> int | None:
    """Given the largest size that ran (0: none) and the smallest that did not; None when they are close enough."""
    if too_large is None:
        return min(2 * ran, limit) if ran < limit else None
    if too_large - ran <= max(1, ran // SHARE):
        return None
    return (ran + too_large) // 2
