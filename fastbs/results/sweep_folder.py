"""A sweep as a folder: sweep.json (what was planned), summary.json, and one folder per run under runs/."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastbs.errors import BadInput
from fastbs.results.files import SCHEMA, dump_json, make_folder, read_json, write_atomic, write_json
from fastbs.results.job_files import JobFiles
from fastbs.results.record import RunRecord
from fastbs.results.run_folder import RunFolder

TRIALS, JOBS = "tuning", "slurm"


@dataclass(frozen=True)
class SweepFolder:
    """Paths and documents of one sweep."""

    path: Path

    @property
    def document(self) -> Path:
        return self.path / "sweep.json"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def index(self) -> Path:
        """Cache of the images that were looked at: spares a second look, decides nothing."""
        return self.path / "images.json"

    @property
    def dataset(self) -> Path:
        return self.path / "dataset.json"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def jobs(self) -> Path:
        """What was asked of Slurm, under which numbers, and what became of it."""
        return self.path / JOBS

    def run(self, run_id: str) -> RunFolder:
        return RunFolder(self.path / "runs" / run_id)

    def trial(self, name: str) -> RunFolder:
        """A run of the search for learning rates, which counts in no row."""
        return RunFolder(self.path / TRIALS / name)

    def open(self) -> dict[str, Any] | None:
        """The plan of the sweep that lives here, None in a new folder; BadInput in a folder of something else."""
        make_folder(self.path)
        if self.document.exists():
            return read_json(self.document, "sweep-plan")
        ours = {self.lock.name, self.index.name, self.dataset.name, TRIALS, JOBS}
        names = {entry.name for entry in self.path.iterdir() if not entry.match(".*.tmp")}  # of killed writers
        foreign = sorted(names - ours)
        if foreign:
            raise BadInput(f"{self.path}: holds {foreign[0]} but no sweep of fastbs; choose an empty folder with --out")
        return None

    def has_begun(self) -> bool:
        """Whether trials were made here, or Slurm has a job that will answer here."""
        jobs = JobFiles.all_in(self.jobs)
        return (self.path / TRIALS).exists() or any(job.number() and not job.answered() for job in jobs)

    def write_plan(self, plan: dict[str, Any]) -> None:
        write_json(self.document, {"schema": SCHEMA, "kind": "sweep-plan"} | plan)

    def records(self) -> Iterator[RunRecord]:
        """The runs that ended, in the order of the plan."""
        for run in read_json(self.document, "sweep-plan")["runs"]:
            record = self.run(run["id"]).record()
            if record is not None:
                yield record

    def write_summary(self, summary: dict[str, Any]) -> str:
        """Write summary.json; returns its text, which is byte for byte what `--format json` prints."""
        text = dump_json(summary)
        write_atomic(self.summary, text)
        return text
