"""Advice from records on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastbs.analysis.advice.document import advise as make_advice
from fastbs.analysis.advice.gather import gather
from fastbs.analysis.advice.inference import advise_inference
from fastbs.analysis.advice.limits import Limits
from fastbs.errors import BadInput
from fastbs.results.deployed import deployed_nets
from fastbs.results.measurement_files import MeasurementFile, read_measurements
from fastbs.results.sweep_folder import SweepFolder


def advise(
    records: Sequence[Path],
    *,
    target: float | None = None,
    deadline: float | None = None,
    max_memory: float | None = None,
    max_energy: float | None = None,
    latency: float | None = None,
    images: int | None = None,
    on: Path | None = None,
    file: str = "advice.json",
) -> dict[str, Any]:
    """The document of kind "advice" from a sweep, or a pilot and its bench; "recommended" is null where there is none.

    `target` is a top1 fraction (default: the sweep's), the limits are seconds of training, bytes and joules; `images`
    is the size of the training set to advise for, `on` the throughput bench of another machine, `file` where the
    document will be kept. `latency` (seconds, of the 99th percentile) limits the batch size at inference: what is known
    of it stands under "latency", and "exit_code" is the larger of both. BadInput names the file and key at fault.
    """
    if target is not None and not 0 < target <= 1:
        raise BadInput(f"target: {target:g} is not a top1 fraction in (0, 1]")
    limits = Limits(deadline=deadline, max_memory=max_memory, max_energy=max_energy, images=images)
    files = read_measurements(list(records))
    document = make_advice(gather(files, target, _bench(on) if on else None), limits, file=file)
    return document if latency is None else _with_latency(document, files, latency)


def _with_latency(document: dict[str, Any], files: Sequence[MeasurementFile], limit: float) -> dict[str, Any]:
    sweep = next(file for file in files if file.kind == "sweep")
    folder = SweepFolder(Path(sweep.name))
    trained = next((run for run in sweep.runs if run.status in ("ok", "missed")), sweep.runs[0])
    found = advise_inference(deployed_nets(folder), limit, sweep.name, str(folder.run(trained.id).path))
    return document | {"latency": found, "exit_code": max(document["exit_code"], found["exit_code"])}


def _bench(path: Path) -> MeasurementFile:
    found = read_measurements([path])
    if len(found) != 1:
        raise BadInput(f"{path}: holds {len(found)} files; give the one bench of the other machine")
    return found[0]
