"""Which of torchrun's processes this is."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Rank:
    """One process of a run that several make together."""

    rank: int  # 0 is the first: it alone writes and prints
    ranks: int
    local_rank: int  # among those on this host, and the number of its GPU
    local_ranks: int
    host: int  # number of this host, by torchrun's count
    restarts: int  # so far, as this host's torchrun counts them
    launch: str  # what this torchrun, and no other, is called


def own_rank() -> Rank | None:
    """From the environment that torchrun makes; None in a process that it did not start."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None

    def number(name: str) -> int:
        return int(os.environ[name])

    return Rank(
        rank=number("RANK"),
        ranks=number("WORLD_SIZE"),
        local_rank=number("LOCAL_RANK"),
        local_ranks=number("LOCAL_WORLD_SIZE"),
        host=number("GROUP_RANK"),
        restarts=number("TORCHELASTIC_RESTART_COUNT"),
        launch=f"{os.environ['TORCHELASTIC_RUN_ID']} {os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}",
    )
