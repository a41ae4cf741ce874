"""torchrun's own launcher, called from Python, and its verdict in our words."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from fastbs.errors import BadInput
from fastbs.sweeps.rank import BAD_INPUT, INTERRUPTED
from fastbs.worker import Interrupted, interruption

OFTEN = 0.2  # seconds


def launch(config: dict[str, Any], out: str, ranks: int, name: str) -> str | None:
    """Start `ranks` processes on this machine that train `config` in `out`; None, or which was the first to fail.

    As `torchrun --standalone --nproc-per-node RANKS` does. What torchrun logs of failures is left out: the ranks tell
    more. BadInput is that of the rank that found it; Interrupted when the ranks were asked to leave, each by SIGUSR2
    or through us, or when somebody ended us.
    """
    _pass_on_what_asks_to_leave()
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
        except SignalException as error:
            raise Interrupted(f"the launcher was ended by {error.sigval.name}") from error
        except ChildFailedError as error:
            for failure in error.failures.values():
                if failure.exitcode == BAD_INPUT:
                    raise BadInput(failure.message) from error
            if all(failure.exitcode == INTERRUPTED for failure in error.failures.values()):
                raise Interrupted("the ranks were asked to leave") from error
            rank, first = error.get_first_failure()
            return f"rank {rank}: ended by {first.signal_name()}" if first.exitcode < 0 else f"rank {rank}: failed"
    return None


def _pass_on_what_asks_to_leave() -> None:
    """From here on SIGUSR2 is for our children: also for those that do not listen yet, or are not there."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {interruption.SIGNAL})  # they inherit it, and get theirs when they listen
    threading.Thread(target=_pass_on, daemon=True).start()


def _pass_on() -> None:
    while not (interruption.asked() or signal.sigtimedwait({interruption.SIGNAL}, OFTEN)):
        pass
    told: set[int] = set()  # once is enough, and more would end a child that is about to leave
    while True:
        there = {int(child) for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}
        for child in there - told:
            with suppress(ProcessLookupError):
                os.kill(child, interruption.SIGNAL)
        told |= there
        time.sleep(OFTEN)
