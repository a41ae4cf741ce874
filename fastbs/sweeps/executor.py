"""Where the runs of a sweep are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from fastbs.config import SweepConfig
from fastbs.errors import BadInput
from fastbs.results.sweep_folder import SweepFolder
from fastbs.sweeps.execute import Task
from fastbs.sweeps.plan import PlannedRun
from fastbs.worker import Outcome


class UnderWay(Protocol):
    """A run that has been started and has not ended."""

    def poll(self) -> Outcome | None:
        """How it ended, recorded; None while it trains or waits to."""

    def wait(self) -> Outcome:
        """The same at its end."""

    def ask_to_leave(self) -> None:
        """Have it save where it stands, and end."""

    def abandon(self) -> None:
        """Whoever asked for it goes away."""


class NoRoom(BadInput):
    """A run was not taken. Where others are under way it may be once one of them has ended."""


class Executor(Protocol):
    def call(self, folder: SweepFolder, target: str, arguments: dict[str, Any]) -> Outcome:
        """A function as the runs are made: on the machines that they will be on."""

    def prepare(self, config: SweepConfig, machine: dict[str, Any]) -> str:
        """Get ready for the runs of a plan; what is to be said of it. BadInput when it cannot make them."""

    def has_room(self, under_way: Sequence[PlannedRun], run: PlannedRun) -> bool:
        """Whether `run` may start beside those."""

    def shares(self, run: PlannedRun) -> bool:
        """Whether others compute on its node meanwhile: then its times count nowhere."""

    def begin(self, folder: SweepFolder, task: Task, lane: int) -> UnderWay:
        """Start; `lane` is the smallest number that no run under way has. NoRoom where it is not taken."""
