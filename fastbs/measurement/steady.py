"""The steady speed of anything that can be called: equal blocks of calls after a warm-up."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastbs.measurement.card_state import SHORTEST, CardState
from fastbs.measurement.energy import EnergyMeter
from fastbs.measurement.memory import minor_faults
from fastbs.worker.turns import taking_turns, turn_or_not

WARM_UP = 0.5  # seconds of calls at least: caches, algorithm choices, clocks; DALI's queue
WARM_UP_CALLS = 3  # at least


@dataclass(frozen=True)
class Block:
    """A stretch of calls with the device idle at both ends."""

    calls: int
    seconds: float
    minor_faults: int
    sm_clock_mhz: float | None  # at its end, while the card is still warm


@dataclass(frozen=True)
class Steady:
    """What the blocks of one process say."""

    blocks: tuple[Block, ...]
    energy_joules: float | None  # over all blocks, of all that ran on the device; None under a second
    energy_source: str | None
    power_w: float | None
    throttled_share: float | None  # of the time, by the counters of the card

    @property
    def seconds(self) -> float:
        """Median over blocks of the seconds per call."""
        return statistics.median(block.seconds / block.calls for block in self.blocks)

    def to_json(self) -> dict[str, Any]:
        return {
            "blocks": [[b.calls, b.seconds, b.minor_faults, b.sm_clock_mhz] for b in self.blocks],
            "energy_joules": self.energy_joules,
            "energy_source": self.energy_source,
            "power_w": self.power_w,
            "throttled_share": self.throttled_share,
        }


def measure_steady(
    call: Callable[[], object],
    device: Any,
    *,
    blocks: int = 5,
    block_seconds: float = 0.5,
    agreed: Callable[[float], float] = float,
) -> Steady:
    """Time `call` in `blocks` blocks of equally many calls, as many as take about `block_seconds` (one, if longer).

    The device (a torch.device or its name) is waited for at the ends of a block only, so that a GPU's queue stays full.
    The number of calls is set by a block of its own after the warm-up, and is the same for all: a clock that is looked
    at in between would measure how far the host runs ahead. Where another process measures in turns with this one, each
    block is a turn, and the energy of the two cannot be told apart: none is given. Where the calls of several processes
    wait for each other, `agreed` makes of seconds that each has measured one number for all: it decides how many calls.
    """
    wait = _waiter(device)
    with taking_turns() as turn:
        with turn_or_not(turn):
            _warm_up(call, wait, agreed)
            calls = _calls_per_block(call, wait, block_seconds, agreed)
        energy, card = EnergyMeter(device), CardState(device)
        measured = []
        energy.start()
        card.start()
        for _ in range(blocks):
            with turn_or_not(turn):
                faults, start = minor_faults(), time.perf_counter()
                for _ in range(calls):
                    call()
                wait()
                seconds = time.perf_counter() - start
                measured.append(Block(calls, seconds, minor_faults() - faults, card.sample()))
        joules = energy.stop()
        state = card.stop()
    alone = turn is None and sum(block.seconds for block in measured) >= SHORTEST
    return Steady(tuple(measured), joules if alone else None, energy.source, **state)


def _warm_up(call: Callable[[], object], wait: Callable[[], None], agreed: Callable[[float], float]) -> None:
    start, calls = time.perf_counter(), 0
    while calls < WARM_UP_CALLS or agreed(time.perf_counter() - start) < WARM_UP:
        call()
        wait()
        calls += 1


def _calls_per_block(
    call: Callable[[], object], wait: Callable[[], None], block_seconds: float, agreed: Callable[[float], float]
) -> int:
    """Doubles the number of calls until they take at least a quarter of a block, then extends that to a whole one."""
    calls = 1
    while True:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        wait()
        seconds = agreed(time.perf_counter() - start)
        if seconds >= block_seconds / 4:
            return max(1, round(calls * block_seconds / seconds))
        calls *= 2


def _waiter(device: Any) -> Callable[[], None]:
    """Waits until the device has done all it was asked; nothing on a CPU, where torch is not even imported."""
    if str(device).partition(":")[0] != "cuda":
        return lambda: None
    import torch

    return torch.cuda.synchronize
