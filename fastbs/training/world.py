"""The processes that make a run together, and what they tell each other: torch.distributed, or nothing when alone."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from fastbs.errors import BadInput
from fastbs.training.meeting import UNTIL_THE_FIRST_IS_READY, meet
from fastbs.worker import OtherRankLost
from fastbs.worker.failures import is_out_of_memory
from fastbs.worker.ranks import Rank

T = TypeVar("T")
WAIT_SECONDS = "FASTBS_RANK_SECONDS"  # environment: how long a rank waits for the others before it gives up
LOST = ("gloo", "nccl", "connection closed", "connection reset", "broken pipe", "timed out", "timeout")


@dataclass(frozen=True)
class World:
    """Rank `rank` of `ranks`. All methods but `first` are called by all ranks alike, or by none."""

    rank: int = 0
    ranks: int = 1
    backend: str | None = None
    hosts: tuple[str, ...] = ()  # of each rank

    def to_json(self) -> dict[str, Any]:
        """What run.json says of the processes that made the run."""
        return {"ranks": self.ranks, "backend": self.backend, "hosts": list(self.hosts)}

    @property
    def first(self) -> bool:
        """Whether this rank is the one that writes and prints."""
        return self.rank == 0

    def first_says(self, value: bool) -> bool:
        """What rank 0 says, on all: for whatever depends on a clock."""
        if self.ranks == 1:
            return value
        said = torch.tensor(int(value))
        dist.broadcast(said, 0)
        return bool(said)

    def of_first(self, value: T) -> T:
        """Rank 0's value, on all; JSON, or anything that can be pickled."""
        return self.gathered(value)[0]

    def all_say(self, value: bool) -> bool:
        return value if self.ranks == 1 else min(self.gathered(value))

    def gathered(self, value: T) -> list[T]:
        """Everyone's value, by rank."""
        values: list[Any] = [value] * self.ranks
        if self.ranks > 1:
            dist.all_gather_object(values, value)
        return values

    def add_up(self, *tensors: Tensor) -> None:
        """Replace each by its sum over ranks."""
        if self.ranks > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)

    def wait(self) -> None:
        """Until all ranks are here."""
        if self.ranks > 1:
            self.gathered(None)

    def engine(self, model: nn.Module) -> DistributedDataParallel | None:
        """`model` with gradients that are averaged over ranks while they are computed; None when alone."""
        return DistributedDataParallel(model) if self.ranks > 1 else None

    def take_buffers(self, model: nn.Module) -> None:
        """Rank 0's running statistics, on all ranks, as the next step of `engine` would take them."""
        if self.ranks > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)


ALONE = World()


@contextmanager
def joined(here: Rank, plan: dict[str, Any] | None) -> Iterator[tuple[World, dict[str, Any]]]:
    """All ranks and the plan of rank 0 (JSON), which alone gives one; its config names the device.

    Ranks on GPUs talk over NCCL, and over gloo where numbers are on the host; ranks on a CPU over gloo. Nobody waits
    for another longer than ten minutes, or what FASTBS_RANK_SECONDS says. OtherRankLost when one is gone or silent.
    """
    patience = _patience()
    try:
        server, *_ = next(rendezvous("env://", here.rank, here.ranks, timeout=UNTIL_THE_FIRST_IS_READY))
        plan = meet(server, here.rank, here.ranks, plan, patience)
        server.set_timeout(patience)
        store = dist.PrefixStore(plan.pop("meeting"), server)  # type: ignore[attr-defined]
        cuda = plan["config"]["device"] == "cuda"
        if cuda:
            torch.cuda.set_device(here.local_rank)
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if cuda else "gloo",
            store=store,
            rank=here.rank,
            world_size=here.ranks,
            timeout=patience,
        )
        alone = World(here.rank, here.ranks)
        hosts = tuple(alone.gathered(socket.gethostname()))
        yield World(here.rank, here.ranks, "nccl" if cuda else "gloo", hosts), plan
        dist.destroy_process_group()
    except RuntimeError as error:  # torch has a class of its own for some of these, gloo for none
        text = " ".join(str(error).split())
        if here.ranks == 1 or is_out_of_memory(text) or not any(sign in text.lower() for sign in LOST):
            raise
        raise OtherRankLost(text) from error


def _patience() -> timedelta:
    given = os.environ.get(WAIT_SECONDS, "600")
    try:
        return timedelta(seconds=max(1.0, float(given)))
    except (ValueError, OverflowError) as error:
        raise BadInput(f"{WAIT_SECONDS}: {given!r} is not a number of seconds") from error
