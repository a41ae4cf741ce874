"""Measurements on disk: benches of fastbs, any pytest-benchmark file, and sweeps."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fastbs.errors import BadInput
from fastbs.results.checked import Checked
from fastbs.results.files import parse_object, read_bytes, read_json, require_schema
from fastbs.results.record import RunRecord
from fastbs.results.sweep_folder import SweepFolder

LARGEST = 40_000_000  # bytes of a file; raw rounds of a few thousand benchmarks fit in
LONGEST_ID = 60  # characters of a run's folder

Kind = Literal["bench", "foreign", "sweep"]


@dataclass(frozen=True)
class MeasurementFile:
    """One file, or one sweep, as it was read: of a known kind and not empty. Who uses a value checks it."""

    name: str  # as the user named it
    kind: Kind
    document: dict[str, Any]  # of a sweep, its plan
    runs: tuple[RunRecord, ...] = ()  # of a sweep, those that ended


def read_measurements(paths: Sequence[Path]) -> list[MeasurementFile]:
    """Every file at `paths`: a JSON file, a sweep's folder, or a folder of JSON files, which are taken by name.

    BadInput names the file that cannot be read, is of another kind, holds no measurement, or is there twice: the same
    processes counted twice would look like less noise.
    """
    files: list[MeasurementFile] = []
    seen: dict[Hashable, str] = {}
    for path in paths:
        for file, content in _read(path):
            if content in seen:
                raise BadInput(f"{file.name}: given twice, it holds the same as {seen[content]}; leave one out")
            seen[content] = file.name
            files.append(file)
    return files


def _read(path: Path) -> Iterator[tuple[MeasurementFile, Hashable]]:
    """What lies at `path`, each with what only the same measurements share."""
    if not path.is_dir():
        yield _read_file(path)
    elif SweepFolder(path).document.exists():
        sweep = _read_sweep(path)
        yield sweep, sweep.runs
    else:
        inside = sorted(path.glob("*.json"))
        if not inside:
            raise BadInput(f"{path}: holds neither a sweep nor a .json file; give a folder of measurements")
        yield from map(_read_file, inside)


def _read_file(path: Path) -> tuple[MeasurementFile, Hashable]:
    content = read_bytes(path, limit=LARGEST)
    document = parse_object(content, path)
    ours, benchmarks = document.get("fastbs"), document.get("benchmarks")
    kind: Kind
    if isinstance(ours, dict) and ours.get("kind") == "bench":
        require_schema(ours, path)
        rows, kind = ours.get("rows"), "bench"
    elif isinstance(benchmarks, list) and all(isinstance(one, dict) and "stats" in one for one in benchmarks):
        rows, kind = benchmarks, "foreign"
    else:
        raise BadInput(f"{path}: not a bench, a pytest-benchmark file or a sweep of fastbs")
    if not rows:
        raise BadInput(f"{path}: holds no measurement")
    return MeasurementFile(str(path), kind, document), hashlib.sha256(content).digest()


def _read_sweep(path: Path) -> MeasurementFile:
    folder = SweepFolder(path)
    plan = read_json(folder.document, "sweep-plan")
    names = [run["id"] for run in Checked(plan, str(folder.document))["runs"].each()]
    for name in names:
        if Path(name.text()).name != name.value or len(name.value) > LONGEST_ID:
            raise name.refused("not the name of a run's folder")
        if sum(name.value == other.value for other in names) > 1:
            raise name.refused("another run has the same name")
    runs = tuple(folder.records()) if names else ()
    if not runs:
        raise BadInput(f"{path}: holds no measurement; no run has ended")
    return MeasurementFile(str(path), "sweep", plan, runs)
