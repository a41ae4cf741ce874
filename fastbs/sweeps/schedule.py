"""Make the runs of a plan, as many at a time as there is room for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from fastbs.analysis.dominated import Race
from fastbs.config import RunConfig
from fastbs.errors import BadInput
from fastbs.results.sweep_folder import SweepFolder
from fastbs.sweeps.execute import Task, leave_out
from fastbs.sweeps.executor import Executor, NoRoom, UnderWay
from fastbs.sweeps.plan import PlannedRun
from fastbs.sweeps.standing import standing_of
from fastbs.worker import Outcome, interruption

Say = Callable[[str], None]
PAUSE = 0.05  # seconds between looks at what is under way


def run_all(
    folder: SweepFolder,
    runs: list[PlannedRun],
    machine: dict[str, Any],
    executor: Executor,
    say: Say,
    *,
    race: RunConfig | None,
) -> None:
    """Make the runs that are open, in order; in a `race` to its target, the dominated ones are stopped or left out.

    KeyboardInterrupt when we were asked to leave, after all that was under way has been saved.
    """
    waiting = [run for run in runs if not folder.run(run.id).is_finished()]
    if len(waiting) < len(runs):
        say(f"resuming {folder.path}: {len(runs) - len(waiting)} of {len(runs)} runs are finished")
    ended, leaving, full = len(runs) - len(waiting), interruption.asked(), False
    under_way: dict[int, tuple[PlannedRun, UnderWay]] = {}
    try:
        while under_way or (waiting and not leaving):
            while waiting and not (leaving or full):
                if not executor.has_room([run for run, _ in under_way.values()], waiting[0]):
                    break
                run = waiting.pop(0)
                standing = standing_of(folder, race.target, race.hold) if race and race.target else Race({})
                task = Task(
                    folder.run(run.id), run, folder.dataset, machine, standing.limit, shared=executor.shares(run)
                )
                if (leader := standing.dominated_by(run.config.batch_size)) is not None:
                    reason = f"dominated by batch {leader} in the runs before"
                    leave_out(task, reason)
                    ended += 1
                    say(f"{ended}/{len(runs)} {run.id} stopped: {reason}")
                    continue
                lane = min(set(range(len(under_way) + 1)) - set(under_way))
                try:
                    under_way[lane] = run, executor.begin(folder, task, lane)
                except NoRoom as error:
                    if not under_way:
                        raise
                    waiting.insert(0, run)
                    full = True
                    say(f"{run.id} waits until one of {len(under_way)} under way has ended: {error}")
            time.sleep(PAUSE)
            if interruption.asked() and not leaving:
                leaving = True
                for _, training in under_way.values():
                    training.ask_to_leave()
            for lane, (run, training) in list(under_way.items()):
                if (outcome := training.poll()) is not None:
                    del under_way[lane]
                    full = False
                    leaving = leaving or outcome.interrupted
                    ended += not outcome.interrupted
                    _tell(f"{ended}/{len(runs)} {run.id}", outcome, say)
    finally:
        for _, training in under_way.values():
            training.abandon()
    if leaving:
        raise KeyboardInterrupt


def _tell(which: str, outcome: Outcome, say: Say) -> None:
    if outcome.bad_input:
        raise BadInput(outcome.reason or which)
    if not outcome.interrupted:
        said = outcome.value if outcome.status == "ok" else f"{outcome.status}: {outcome.reason}"
        say(f"{which} {said} ({outcome.seconds:.1f} s)")
