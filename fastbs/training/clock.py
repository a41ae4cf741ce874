"""Where the time of a run goes: start-up, training, input wait, evaluation, checkpoints."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from fastbs.measurement.memory import minor_faults
from fastbs.worker import process_started

BLOCK_SECONDS = 0.5  # long enough that clock and device sync do not count, short enough to show drift


@dataclass
class RunClock:
    """Seconds by kind, added up over all restarts of a run."""

    train: float = 0.0
    input_wait: float = 0.0  # part of train
    evaluation: float = 0.0
    checkpoint: float = 0.0
    startup: float = 0.0
    wall_before: float = 0.0  # wall time of earlier processes of this run, up to their last checkpoint
    blocks: list[tuple[int, float, int]] = field(default_factory=list)  # (updates, seconds, minor page faults)

    @property
    def wall(self) -> float:
        return self.wall_before + time.monotonic() - process_started()

    def started_up(self) -> None:
        """Everything since this process was asked for was start-up."""
        self.startup += time.monotonic() - process_started()

    @contextmanager
    def counting(self, kind: str) -> Iterator[None]:
        """Add what happens inside to `kind` ("evaluation" or "checkpoint")."""
        start = time.perf_counter()
        yield
        setattr(self, kind, getattr(self, kind) + time.perf_counter() - start)

    def state_dict(self) -> dict[str, Any]:
        return asdict(self) | {"wall_before": self.wall}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        startup = self.startup
        for name, value in state.items():
            setattr(self, name, value)
        self.startup += startup
        self.blocks = [(updates, seconds, faults) for updates, seconds, faults in self.blocks]

    def step_seconds(self) -> float:
        """Median over blocks of the time per update, the first block (caches, clocks still rising) left out."""
        return statistics.median(seconds / updates for updates, seconds, _ in self.steady_blocks())

    def steady_blocks(self) -> list[tuple[int, float, int]]:
        return self.blocks[1:] if len(self.blocks) > 1 else self.blocks


class BlockTimer:
    """The watch of the training clock: cuts training time into blocks and stands still in between."""

    def __init__(self, clock: RunClock) -> None:
        self._clock = clock
        self._open = (0, 0.0, 0)  # updates, seconds, faults of the block under way, up to the last pause
        self._updates = 0
        self._since = 0.0
        self._faults_since = 0

    def resume(self) -> None:
        self._updates, self._since, self._faults_since = 0, time.perf_counter(), minor_faults()

    def count_update(self) -> bool:
        """Count one update; True when the block is long enough to be closed with `pause`."""
        self._updates += 1
        return self._open[1] + time.perf_counter() - self._since >= BLOCK_SECONDS

    def pause(self) -> None:
        """Stop the watch (the device must be idle); the block ends here if it is long enough."""
        elapsed = time.perf_counter() - self._since
        updates, seconds, faults = self._open
        self._clock.train += elapsed
        self._open = (updates + self._updates, seconds + elapsed, faults + minor_faults() - self._faults_since)
        if self._open[1] >= BLOCK_SECONDS:
            self._clock.blocks.append(self._open)
            self._open = (0, 0.0, 0)

    def close(self) -> None:
        """The run is over: what is left counts as a block only when there is no other."""
        if self._open[0] and not self._clock.blocks:
            self._clock.blocks.append(self._open)
