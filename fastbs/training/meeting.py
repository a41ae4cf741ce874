"""How the ranks of one start find each other, on a server that may still hold what the dead of an earlier one said."""

from __future__ import annotations

import json
import time
import uuid
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from fastbs.worker import OtherRankLost

UNTIL_THE_FIRST_IS_READY = timedelta(days=1)  # it checks all images meanwhile; if it dies, torchrun ends the others


def meet(
    server: dist.Store,  # type: ignore[name-defined]
    rank: int,
    ranks: int,
    plan: dict[str, Any] | None,
    patience: timedelta,
) -> dict[str, Any]:
    """The plan of rank 0, which alone gives one, with a name for this meeting under "meeting" that was never used.

    Counting restarts does not name it: each host's torchrun has its own count. So every rank calls itself by a new
    name, and rank 0 answers to each name that it finds, until all have answered that they came to this very meeting.
    """
    if plan is None:
        own_name = uuid.uuid4().hex
        server.set(f"rank {rank}", own_name)
        server.wait([f"plan for {own_name}"], UNTIL_THE_FIRST_IS_READY)
        found: dict[str, Any] = json.loads(server.get(f"plan for {own_name}"))
        server.set(f"{found['meeting']}: rank {rank} is here", "")
        return found
    plan = plan | {"meeting": uuid.uuid4().hex}
    missing, until = set(range(1, ranks)), time.monotonic() + patience.total_seconds()
    while missing:
        for other in missing:
            if server.check([f"rank {other}"]):
                server.set(f"plan for {server.get(f'rank {other}').decode()}", json.dumps(plan))
        missing = {other for other in missing if not server.check([f"{plan['meeting']}: rank {other} is here"])}
        if missing and time.monotonic() > until:
            raise OtherRankLost(f"rank {min(missing)} did not come within {patience.total_seconds():g} s")
        time.sleep(0.02)
    return plan
