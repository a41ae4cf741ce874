"""Run a sweep to its end, wherever it was left."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastbs import worker
from fastbs.analysis.dominated import Race
from fastbs.config import RunConfig, SweepConfig
from fastbs.data.check import verified_dataset
from fastbs.data.dataset import Dataset
from fastbs.errors import BadInput
from fastbs.results.files import cannot_write, remove_leftovers, write_json
from fastbs.results.lock import locked
from fastbs.results.sweep_folder import SweepFolder
from fastbs.sweeps.execute import execute, leave_out
from fastbs.sweeps.plan import PlannedRun, make_plan
from fastbs.sweeps.standing import standing_of
from fastbs.sweeps.summary import summarize_folder
from fastbs.sweeps.tune import tune

Say = Callable[[str], None]


def sweep(config: SweepConfig, out: Path, say: Say = lambda text: None) -> dict[str, Any]:
    """Make every run of `config` that is not finished in `out`; returns (and writes) the summary.

    A sweep that was cut off at any moment continues where it was when it is asked for again. BadInput when `out` holds
    something else, or the images or the settings changed.
    """
    folder = SweepFolder(out)
    new = not _exists(out)
    folder.open()
    with locked(folder.lock, wait=False):
        remove_leftovers(out)
        try:
            dataset = verified_dataset(Path(config.run.data), index=folder.index)
            plan = folder.open() or _begin(folder, config, dataset, say)
        except BadInput:
            if new:
                shutil.rmtree(out, ignore_errors=True)
            raise
        _refuse_other(folder, plan, config, dataset)
        write_json(folder.dataset, dataset.to_json())  # the same images may have moved since
        runs = [PlannedRun(run["id"], run["arm"], RunConfig.from_json(run["config"])) for run in plan["runs"]]
        _run_all(folder, runs, plan["machine"], say, race=config.run if config.stop_dominated else None)
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
    outcome = worker.call("fastbs.training.resolve:resolve", arguments)
    if outcome.status == "oom":
        raise BadInput(f"model: {run.model} does not fit in memory ({outcome.reason})")
    if outcome.status != "ok":
        raise BadInput(outcome.reason or "") if outcome.bad_input else RuntimeError(outcome.reason)
    return outcome.value


def _begin(folder: SweepFolder, config: SweepConfig, dataset: Dataset, say: Say) -> dict[str, Any]:
    tuned = config.lr_rule == "tuned"
    make_plan(config, len(dataset.train))
    known = resolve(config.run, dataset)
    resolved = SweepConfig.from_json({**config.to_json(), "run": known["run"]})
    write_json(folder.dataset, dataset.to_json())
    searches = tune(folder, resolved, known["machine"], say) if tuned else []
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
    requested = config.to_json()
    there, here = plan["requested"] | plan["requested"]["run"], requested | requested["run"]
    for key, value in here.items():
        if key not in ("run", "data") and there.get(key) != value:
            raise BadInput(
                f"{folder.path}: holds another experiment ({key.replace('_', '-')} {there.get(key)!r}, not {value!r}); "
                "choose another --out"
            )
    if plan["dataset"]["fingerprint"] != dataset.fingerprint:
        raise BadInput(f"{folder.path}: holds a sweep on other images than those in {dataset.root} now; use --out")


def _run_all(
    folder: SweepFolder, runs: list[PlannedRun], machine: dict[str, Any], say: Say, *, race: RunConfig | None
) -> None:
    """Make the runs that are open, in order; in a `race` to its target, the dominated ones are stopped or left out."""
    open_runs = [run for run in runs if not folder.run(run.id).is_finished()]
    if len(open_runs) < len(runs):
        say(f"resuming {folder.path}: {len(runs) - len(open_runs)} of {len(runs)} runs are finished")
    for number, run in enumerate(open_runs, len(runs) - len(open_runs) + 1):
        standing = standing_of(folder, race.target, race.hold) if race and race.target else Race({})
        if (leader := standing.dominated_by(run.config.batch_size)) is not None:
            reason = f"dominated by batch {leader} in the runs before"
            leave_out(folder.run(run.id), run, folder.dataset, machine, reason)
            say(f"{number}/{len(runs)} {run.id} stopped: {reason}")
            continue
        outcome = execute(folder.run(run.id), run, folder.dataset, machine, stop_after=standing.limit)
        if outcome.bad_input:
            raise BadInput(outcome.reason or run.id)
        said = outcome.value if outcome.status == "ok" else f"{outcome.status}: {outcome.reason}"
        say(f"{number}/{len(runs)} {run.id} {said} ({outcome.seconds:.1f} s)")
