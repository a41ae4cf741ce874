"""One run by itself, in its own folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastbs.config import RunConfig
from fastbs.data.check import verified_dataset
from fastbs.errors import BadInput
from fastbs.results.files import make_folder, read_json, remove_leftovers, write_json
from fastbs.results.lock import locked
from fastbs.results.run_folder import RunFolder
from fastbs.sweeps.execute import Task, execute
from fastbs.sweeps.plan import PlannedRun
from fastbs.sweeps.sweep import resolve


def train(run: RunConfig, out: Path) -> dict[str, Any]:
    """Make or continue `run` in `out`; returns its run.json with the evaluations under "evaluations".

    BadInput when `out` holds something else or another process works there.
    """
    dataset = verified_dataset(Path(run.data))
    if run.batch_size > len(dataset.train):
        raise BadInput(f"batch-size: {run.batch_size} is larger than the training set of {len(dataset.train):,} images")
    known = resolve(run, dataset)
    folder, images = RunFolder(out), out / "dataset.json"
    make_folder(out)
    if not folder.document.exists() and (there := sorted(entry.name for entry in out.iterdir())):
        raise BadInput(f"{out}: holds {there[0]} but no run of fastbs; choose an empty folder with --out")
    with locked(folder.lock, wait=False):
        remove_leftovers(out)
        folder.begin(arm="main", config=known["run"], dataset=dataset.describe(), machine=known["machine"])
        write_json(images, dataset.to_json())
    if not folder.is_finished():
        planned = PlannedRun(out.name, "main", RunConfig.from_json(known["run"]))
        outcome = execute(Task(folder, planned, images, known["machine"]), show=True)
        if outcome.interrupted:
            raise KeyboardInterrupt
        if outcome.bad_input:
            raise BadInput(outcome.reason or out.name)
    evaluations = [evaluation.to_json() for evaluation in folder.evaluations()]
    return read_json(folder.document, "run") | {"evaluations": evaluations}
