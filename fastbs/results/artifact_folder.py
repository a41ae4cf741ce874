"""An exported net as a folder: artifact.json, its files, and what was found about it (check.json, latency.json)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastbs.errors import BadInput
from fastbs.results.files import read_json, write_json
from fastbs.results.run_folder import RunFolder

KEYS = (
    *("to", "precision", "files", "engines", "run", "dataset", "preprocessing", "input", "output"),
    *("batch", "profiles", "versions", "digest"),
)


@dataclass(frozen=True)
class ArtifactFolder:
    """Paths and documents of one artefact."""

    path: Path

    @property
    def document(self) -> Path:
        return self.path / "artifact.json"

    @property
    def check(self) -> Path:
        return self.path / "check.json"

    @property
    def latency(self) -> Path:
        return self.path / "latency.json"

    def load(self) -> dict[str, Any]:
        """artifact.json, perhaps changed since; BadInput where there is none, or a part of it is missing."""
        document = read_json(self.document, "artifact")
        if missing := [key for key in KEYS if key not in document]:
            raise BadInput(f"{self.document}: lacks {missing[0]!r}; fastbs export did not write it")
        return document

    def read(self) -> dict[str, Any]:
        """artifact.json; BadInput where there is none, or it is not what was written."""
        document = self.load()
        if document.get("digest") != digest(document):
            raise BadInput(f"{self.document}: was changed after it was written; export anew")
        return document

    def others(self) -> list[str]:
        """Names in the folder that are no artefact's: all of them where there is no artifact.json."""
        names = sorted(entry.name for entry in self.path.iterdir()) if self.path.is_dir() else [self.path.name]
        if self.document.name not in names:
            return names
        own = {self.document.name, self.check.name, self.latency.name, *self.load()["files"]}
        return [name for name in names if name not in own]

    def wrong_files(self, document: Mapping[str, Any]) -> list[str]:
        """What is not as artifact.json (`document`) says: files that are missing or have other bytes."""
        found = []
        for name, recorded in document["files"].items():
            file = self.path / name
            if not file.is_file():
                found.append(f"{name} is missing")
            elif (size := file.stat().st_size) != recorded["bytes"]:
                found.append(f"{name} has {size:,} bytes, not the {recorded['bytes']:,} that were exported")
            elif sha256(file) != recorded["sha256"]:
                found.append(f"{name} was changed: its SHA-256 is not that of the exported file")
        return found

    def write(self, document: Mapping[str, Any]) -> None:
        """artifact.json, with the digest of its own content."""
        write_json(self.document, {**document, "digest": digest(document)})

    def finding(self, file: Path, kind: str) -> dict[str, Any] | None:
        """`check` or `latency` of the artefact that lies here now; None where there is none, or it is of another."""
        if not file.exists():
            return None
        found, document = read_json(file, kind), self.read()
        return found if found.get("digest") == document["digest"] and not self._outdated(document) else None

    def _outdated(self, document: Mapping[str, Any]) -> bool:
        """Whether files have other sizes, or the run was trained anew. What is run is looked at closely, by its hashes;
        here a checkpoint older than the artefact is taken to be the one that was exported."""
        for name, recorded in document["files"].items():
            if not (file := self.path / name).is_file() or file.stat().st_size != recorded["bytes"]:
                return True
        checkpoint = RunFolder(self.path / document["run"]["folder"]).checkpoint
        if not checkpoint.exists() or checkpoint.stat().st_mtime <= self.document.stat().st_mtime:
            return False
        return sha256(checkpoint) != document["run"]["checkpoint_sha256"]


def sha256(file: Path) -> str:
    """Of the file's bytes, in hex; BadInput where it cannot be read."""
    try:
        with open(file, "rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"{file}: not a readable file ({error.strerror or error})") from error


def digest(document: Mapping[str, Any]) -> str:
    """SHA-256 (hex) over all of artifact.json but the digest itself."""
    content = {key: value for key, value in document.items() if key != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def find_artifacts(path: Path) -> list[ArtifactFolder]:
    """The artefact in `path`, or all below it (of a run, a sweep), in order of path; BadInput where there is none."""
    if not path.is_dir():
        raise BadInput(f"{path}: no such folder; name an artefact, or a run or sweep with some (fastbs export)")
    found = [ArtifactFolder(file.parent) for file in sorted(path.rglob("artifact.json"))]
    if not found:
        raise BadInput(f"{path}: holds no artefact; make one with fastbs export")
    return found
