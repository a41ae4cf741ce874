"""Run a sweep to its end, wherever it was left."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastbs import worker
from fastbs.config import RunConfig, SweepConfig
from fastbs.data.check import verified_dataset
from fastbs.data.dataset import Dataset
from fastbs.errors import BadInput
from fastbs.results.files import cannot_write, remove_leftovers, write_json
from fastbs.results.lock import locked
from fastbs.results.sweep_folder import SweepFolder
from fastbs.sweeps.executor import Executor
from fastbs.sweeps.local import Local
from fastbs.sweeps.plan import PlannedRun, make_plan
from fastbs.sweeps.schedule import run_all
from fastbs.sweeps.summary import summarize_folder
from fastbs.sweeps.tune import tune

Say = Callable[[str], None]
RESOLVE = "fastbs.training.resolve:resolve"


def sweep(
    config: SweepConfig, out: Path, say: Say = lambda text: None, executor: Executor | None = None
) -> dict[str, Any]:
    """Make every run of `config` that is not finished in `out`; returns (and writes) the summary.

    The `executor` says where the runs are made: on this machine (a `Local`) if it is not given, or by Slurm. A sweep
    that was cut off at any moment continues where it was when it is asked for again. BadInput when `out` holds
    something else, or the images or the settings changed.
    """
    folder, executor = SweepFolder(out), executor or Local()
    new = not _exists(out)
    folder.open()
    with locked(folder.lock, wait=False):
        remove_leftovers(out)
        try:
            dataset = verified_dataset(Path(config.run.data), index=folder.index)
            plan = folder.open() or _begin(folder, config, dataset, executor, say)
        except BadInput:
            if new and not folder.has_begun():
                shutil.rmtree(out, ignore_errors=True)
            raise
        _refuse_other(folder, plan, config, dataset)
        write_json(folder.dataset, dataset.to_json())  # the same images may have moved since
        runs = [PlannedRun(run["id"], run["arm"], RunConfig.from_json(run["config"])) for run in plan["runs"]]
        if note := executor.prepare(SweepConfig.from_json(plan["resolved"]), plan["machine"]):
            say(note)
        run_all(folder, runs, plan["machine"], executor, say, race=config.run if config.stop_dominated else None)
        summary = summarize_folder(folder)
        folder.write_summary(summary)
        return summary


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise cannot_write(path, error) from error


def resolve(run: RunConfig, dataset: Dataset, local_ranks: int = 1) -> dict[str, Any]:
    """What `training.resolve` says of this run, from a fresh process: BadInput when the run cannot be."""
    arguments = {"config": run.to_json(), "dataset": dataset.to_json(), "local_ranks": local_ranks}
    return _known(run, worker.call(RESOLVE, arguments))


def _known(run: RunConfig, outcome: worker.Outcome) -> dict[str, Any]:
    if outcome.status == "oom":
        raise BadInput(f"model: {run.model} does not fit in memory ({outcome.reason})")
    if outcome.status != "ok":
        raise BadInput(outcome.reason or "") if outcome.bad_input else RuntimeError(outcome.reason)
    return outcome.value


def _begin(folder: SweepFolder, config: SweepConfig, dataset: Dataset, executor: Executor, say: Say) -> dict[str, Any]:
    tuned = config.lr_rule == "tuned"
    make_plan(config, len(dataset.train))
    arguments = {"config": config.run.to_json(), "dataset": dataset.to_json()}
    known = _known(config.run, executor.call(folder, RESOLVE, arguments))
    resolved = SweepConfig.from_json({**config.to_json(), "run": known["run"]})
    executor.prepare(resolved, known["machine"])
    write_json(folder.dataset, dataset.to_json())
    searches = tune(folder, resolved, known["machine"], executor, say) if tuned else []
    if searches:
        resolved = replace(resolved, lrs=tuple((search.batch_size, search.best) for search in searches))
    plan = {
        "requested": config.to_json(),
        "resolved": resolved.to_json(),
        "dataset": dataset.describe(),
        "machine": known["machine"],
        "parameters": known["parameters"],
        "norm": known["norm"],
        "tuning": [search.to_json() for search in searches],
        "runs": [run.to_json() for run in make_plan(resolved, len(dataset.train))],
    }
    folder.write_plan(plan)
    return plan


def _refuse_other(folder: SweepFolder, plan: dict[str, Any], config: SweepConfig, dataset: Dataset) -> None:
    requested, before = config.to_json(), SweepConfig.from_json(plan["requested"]).to_json()  # of any version
    there, here = before | before["run"], requested | requested["run"]
    for key, value in here.items():
        if key not in ("run", "data") and there[key] != value:
            raise BadInput(
                f"{folder.path}: holds another experiment ({key.replace('_', '-')} {there[key]!r}, not {value!r}); "
                "choose another --out"
            )
    if plan["dataset"]["fingerprint"] != dataset.fingerprint:
        raise BadInput(f"{folder.path}: holds a sweep on other images than those in {dataset.root} now; use --out")
