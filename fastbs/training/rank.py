"""One rank of a run: it waits for the plan of the first, sees that it is its own, and trains."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from fastbs.errors import BadInput
from fastbs.results.files import read_json
from fastbs.results.record import Status
from fastbs.training.run import train as train_together
from fastbs.training.world import joined
from fastbs.worker.ranks import own_rank


def train(asked: dict[str, Any], plan: dict[str, Any] | None) -> Status:
    """Take part in the run; returns how it ended. In a process that torchrun started, or its child.

    `asked` is what this rank was asked for, its folder under "out"; `plan`, on rank 0 alone, what to do: the arguments
    of `training.run.train`. BadInput where another rank was asked for something else, or cannot see the same folders.
    """
    here = own_rank()
    assert here is not None
    with joined(here, None if plan is None else plan | {"asked": asked}) as (world, agreed):
        host = socket.gethostname()
        for key, value in agreed.pop("asked").items():
            if asked[key] != value:
                raise BadInput(f"{key}: {asked[key]!r} on {host}, {value!r} on rank 0; give all ranks the same options")
        dataset = Path(agreed["dataset"])
        if not dataset.exists() or not Path(read_json(dataset, "dataset")["root"]).is_dir():
            raise BadInput(f"{dataset.parent}: {host} cannot see it or its images; share both folders among all hosts")
        status = train_together(**agreed, world=world, launch=here.launch)
        world.wait()  # until the record is written: the first rank to leave may end the others
        return status
