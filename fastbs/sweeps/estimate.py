"""What a sweep will cost, from a short probe of its smallest, middle and largest batch size."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastbs import worker
from fastbs.analysis.budget import evaluation_every, total_updates
from fastbs.config import RunConfig, SweepConfig
from fastbs.data.check import verified_dataset
from fastbs.errors import BadInput
from fastbs.results.files import write_json
from fastbs.results.record import Result
from fastbs.results.run_folder import RunFolder
from fastbs.sweeps.plan import PlannedRun, make_plan
from fastbs.sweeps.sweep import resolve

PROBE_UPDATES = 60


@dataclass(frozen=True)
class Estimate:
    runs: int
    controls: int
    seconds: float
    device: str
    updates: int  # over all runs

    def __str__(self) -> str:
        hours = f"{self.seconds / 3600:.1f} h" if self.seconds >= 5400 else f"{self.seconds / 60:.0f} min"
        made = f"{self.runs} runs + {self.controls} controls, {self.updates:,} updates"
        return f"{made}, about {hours} on {self.device}, one run after another"


def estimate(config: SweepConfig) -> Estimate:
    """Runs, hours and device of `config`; trains for some dozens of updates in fresh processes, keeps nothing."""
    dataset = verified_dataset(Path(config.run.data))
    make_plan(config, len(dataset.train))
    known = resolve(config.run, dataset)
    resolved = SweepConfig.from_json({**config.to_json(), "run": known["run"]})
    plan = make_plan(resolved, len(dataset.train))
    sizes = sorted({config.batch_sizes[0], config.batch_sizes[len(config.batch_sizes) // 2], config.batch_sizes[-1]})
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "dataset.json"
        write_json(file, dataset.to_json())
        probes = [_probe(resolved.run, size, file, Path(scratch), known["machine"]) for size in sizes]
    steps = [probe.step_seconds for probe in probes]
    overhead = max(probe.startup_seconds for probe in probes)
    evaluation = max(probe.eval_seconds for probe in probes)

    def seconds(run: PlannedRun) -> float:
        updates = total_updates(run.config, len(dataset.train))
        step = float(np.interp(run.config.batch_size, sizes, steps))
        return overhead + updates * step + evaluation * (1 + updates // evaluation_every(run.config))

    arms = Counter(run.arm for run in plan)
    return Estimate(
        runs=arms["main"],
        controls=len(plan) - arms["main"],
        seconds=sum(map(seconds, plan)),
        device=_device(known["machine"], resolved.run),
        updates=sum(total_updates(run.config, len(dataset.train)) for run in plan),
    )


def _probe(run: RunConfig, batch_size: int, dataset: Path, scratch: Path, machine: dict[str, Any]) -> Result:
    folder = RunFolder(scratch / f"b{batch_size}")
    probe = run.replace(batch_size=batch_size, updates=PROBE_UPDATES, eval_images=PROBE_UPDATES * batch_size)
    arguments = {
        "config": probe.to_json(),
        "dataset": str(dataset),
        "folder": str(folder.path),
        "arm": "probe",
        "machine": machine,
    }
    outcome = worker.call("fastbs.training.run:train", arguments, threads=probe.threads)
    record = folder.record()
    if outcome.bad_input:
        raise BadInput(outcome.reason or "")
    if record is None or record.result is None:
        raise BadInput(f"batch-sizes: a probe at {batch_size} ended {outcome.status}: {outcome.reason}")
    return record.result


def _device(machine: dict[str, Any], run: RunConfig) -> str:
    if run.device == "cpu":
        return f"{run.threads} CPU thread{'' if run.threads == 1 else 's'}"
    return "1 GPU"
