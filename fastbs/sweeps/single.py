"""One run by itself, in its own folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastbs.config import RunConfig
from fastbs.data.check import verified_dataset
from fastbs.errors import BadInput
from fastbs.results.files import read_json, write_json
from fastbs.results.run_folder import RunFolder
from fastbs.sweeps.execute import execute
from fastbs.sweeps.plan import PlannedRun
from fastbs.sweeps.sweep import resolve


def train(run: RunConfig, out: Path) -> dict[str, Any]:
    """Make or continue `run` in `out`; returns its run.json with the evaluations under "evaluations"."""
    dataset = verified_dataset(Path(run.data))
    if run.batch_size > len(dataset.train):
        raise BadInput(f"batch-size: {run.batch_size} is larger than the training set of {len(dataset.train):,} images")
    known = resolve(run, dataset)
    folder = RunFolder(out)
    planned = PlannedRun(out.name, "main", RunConfig.from_json(known["run"]))
    folder.begin(arm="main", config=known["run"], dataset=dataset.describe(), machine=known["machine"])
    if not folder.is_finished():
        write_json(out / "dataset.json", dataset.to_json())
        outcome = execute(folder, planned, out / "dataset.json", dataset, known["machine"], show=True)
        if outcome.bad_input:
            raise BadInput(outcome.reason or out.name)
    evaluations = [evaluation.to_json() for evaluation in folder.evaluations()]
    return read_json(folder.document, "run") | {"evaluations": evaluations}
