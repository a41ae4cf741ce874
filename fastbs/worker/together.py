"""Call a function in several fresh processes of this machine that find each other as ranks."""

from __future__ import annotations

import dataclasses
import socket
import time
import uuid
from collections.abc import Mapping
from typing import Any

from fastbs.worker.call import Call, start
from fastbs.worker.outcome import Outcome
from fastbs.worker.ranks import Rank

PAUSE = 0.05  # seconds between looks at the processes
PATIENCE = 5.0  # seconds after the first failure: who lost another rank often says so before that one has ended


def call_together(target: str, arguments: Mapping[str, Any], ranks: int, *, threads: int | None = None) -> Outcome:
    """`call` on so many ranks, each with its Rank (JSON) as argument `rank`; none outlives the others.

    How the first rank ended if all are ok, otherwise the first end that is not another rank's loss.
    """
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    address = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    launch, calls, ended = uuid.uuid4().hex, dict[int, Call](), dict[int, Outcome]()
    try:
        for rank in range(ranks):
            here = Rank(rank=rank, ranks=ranks, local_rank=rank, local_ranks=ranks, host=0, restarts=0, launch=launch)
            asked = {**arguments, "rank": dataclasses.asdict(here)}
            calls[rank] = start(target, asked, threads=threads, env=address)
        until = float("inf")
        while len(ended) < ranks and time.monotonic() < until:
            time.sleep(PAUSE)
            for rank in set(calls) - set(ended):
                if outcome := calls[rank].poll():
                    ended[rank] = outcome
                    until = min(until, time.monotonic() + PATIENCE) if outcome.status != "ok" else until
    finally:
        for call in calls.values():
            call.kill()
    failed = [outcome for outcome in ended.values() if outcome.status != "ok"]
    causes = [outcome for outcome in failed if not outcome.other_rank_lost]
    return (causes or failed or [ended[0]])[0]
