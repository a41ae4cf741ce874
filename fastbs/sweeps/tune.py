"""The learning rate of every batch size, each searched for with the same number of trainings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastbs.analysis.arms import planned_weight_decay, untuned_lr
from fastbs.analysis.rate_search import TRIALS, Search, joint_score, score_of, search_rate
from fastbs.config import SweepConfig
from fastbs.errors import BadInput
from fastbs.results.sweep_folder import SweepFolder
from fastbs.sweeps.execute import Task
from fastbs.sweeps.executor import Executor
from fastbs.sweeps.plan import PlannedRun
from fastbs.worker import interruption

Say = Callable[[str], None]
SEED = 1_000  # of all trials, and the next one: not those that are reported
SEEDS_FOR_TWO = 5  # seeds a size from which every trial is made with two: one trial says too little


def tune(
    folder: SweepFolder, config: SweepConfig, machine: dict[str, Any], executor: Executor, say: Say
) -> list[Search]:
    """Search each size of the resolved `config`; trials that were made before are read again."""
    return [_search(folder, config, size, machine, executor, say) for size in config.batch_sizes]


def _search(
    folder: SweepFolder, config: SweepConfig, size: int, machine: dict[str, Any], executor: Executor, say: Say
) -> Search:
    seeds = 2 if config.seeds >= SEEDS_FOR_TWO else 1

    def score(lr: float) -> tuple[int, float]:
        return joint_score([one_score(lr, SEED + number) for number in range(seeds)])

    def one_score(lr: float, seed: int) -> tuple[int, float]:
        decay = planned_weight_decay(config, size, lr)
        run = config.run.replace(batch_size=size, seed=seed, lr=lr, weight_decay=decay, noise_scale=False)
        trial = PlannedRun(f"b{size:04d}-lr{lr:.3g}{'' if seed == SEED else f'-s{seed}'}", "tuning", run)
        place = folder.trial(trial.id)
        if not place.is_finished():
            if interruption.asked():
                raise KeyboardInterrupt
            outcome = executor.begin(folder, Task(place, trial, folder.dataset, machine), 0).wait()
            if outcome.interrupted:
                raise KeyboardInterrupt
            if outcome.bad_input:
                raise BadInput(outcome.reason or trial.id)
        record = place.record()
        assert record is not None
        found = score_of(record, run.target, run.hold)
        say(
            f"tuning batch {size} at lr {lr:.3g}: {record.status}, {('images to target', 'loss', '')[found[0]]} "
            f"{found[1]:,.4g}"
        )
        return found

    search = search_rate(size, untuned_lr(config, size), score, seeds)
    ending = "" if search.interior else f", UNDER-TUNED: the best of {TRIALS} lies at the end of its grid"
    say(f"tuned batch {size}: lr {search.best:.3g}{ending}")
    return search
