"""What is on disk of a batch job: what was asked, the number that the scheduler gave it, what was answered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from fastbs.results.files import SCHEMA, read_json, write_json

REQUEST = ".request.json"


@dataclass(frozen=True)
class JobFiles:
    """Three documents, of which the job itself writes the answer."""

    folder: Path
    name: str

    @classmethod
    def all_in(cls, folder: Path) -> list[Self]:
        """Those of every request that was made in `folder`."""
        return [cls(folder, request.name.removesuffix(REQUEST)) for request in folder.glob(f"*{REQUEST}")]

    @property
    def request(self) -> Path:
        return self.folder / f"{self.name}{REQUEST}"

    @property
    def record(self) -> Path:
        return self.folder / f"{self.name}.job.json"

    @property
    def answer(self) -> Path:
        return self.folder / f"{self.name}.answer.json"

    def number(self) -> str | None:
        """What the scheduler calls it; None when that is not known, or nothing was submitted."""
        return str(read_json(self.record, "job")["number"]) if self.record.exists() else None

    def write_number(self, number: str) -> None:
        write_json(self.record, {"schema": SCHEMA, "kind": "job", "number": number})

    def asked(self) -> dict[str, Any] | None:
        """{"target", "arguments"}"""
        if not self.request.exists():
            return None
        document = read_json(self.request, "job-request")
        return {key: document[key] for key in ("target", "arguments")}

    def ask(self, request: dict[str, Any]) -> None:
        """Write {"target", "arguments"}, in the place of what was asked, submitted and answered before."""
        for path in (self.answer, self.record):
            path.unlink(missing_ok=True)
        write_json(self.request, {"schema": SCHEMA, "kind": "job-request"} | request)

    def answered(self) -> dict[str, Any] | None:
        """An Outcome as JSON; None while there is none."""
        if not self.answer.exists():
            return None
        document = read_json(self.answer, "job-answer")
        return {key: value for key, value in document.items() if key not in ("schema", "kind")}

    def write_answer(self, outcome: dict[str, Any]) -> None:
        write_json(self.answer, {"schema": SCHEMA, "kind": "job-answer"} | outcome)
