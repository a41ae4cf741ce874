"""torchrun's own launcher, called from Python, and its verdict in our words."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from typing import Any

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from fastbs.errors import BadInput
from fastbs.sweeps.rank import BAD_INPUT, INTERRUPTED
from fastbs.worker import Interrupted


def launch(config: dict[str, Any], out: str, ranks: int, name: str) -> str | None:
    """Start `ranks` processes on this machine that train `config` in `out`; None, or which was the first to fail.

    As `torchrun --standalone --nproc-per-node RANKS` does. What torchrun logs of failures is left out: the ranks tell
    more. BadInput is that of the rank that found it; Interrupted when the ranks were asked to leave.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as words:
        settings = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=ranks,
            run_id=name,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=words),
        )
        try:
            elastic_launch(settings, sys.executable)("-P", "-m", "fastbs.sweeps.rank", json.dumps([config, out]))
        except ChildFailedError as error:
            for failure in error.failures.values():
                if failure.exitcode == BAD_INPUT:
                    raise BadInput(failure.message) from error
            if all(failure.exitcode == INTERRUPTED for failure in error.failures.values()):
                raise Interrupted("the ranks were asked to leave") from error
            rank, first = error.get_first_failure()
            return f"rank {rank}: ended by {first.signal_name()}" if first.exitcode < 0 else f"rank {rank}: failed"
    return None
