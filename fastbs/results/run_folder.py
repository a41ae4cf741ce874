"""A run as a folder: run.json, metrics.jsonl, noise.jsonl, mlperf.log, checkpoint.pt, TensorBoard events, log.txt."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fastbs.errors import BadInput
from fastbs.results.files import SCHEMA, append_text, make_folder, read_json, write_atomic, write_json
from fastbs.results.mllog_events import mllog_lines
from fastbs.results.record import Evaluation, NoiseDraw, Result, RunRecord, Status, from_json, run_from_json

T = TypeVar("T")


@dataclass(frozen=True)
class RunFolder:
    """Paths and documents of one run. Only the process that holds `lock` writes."""

    path: Path

    @property
    def document(self) -> Path:
        return self.path / "run.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def noise(self) -> Path:
        return self.path / "noise.jsonl"

    @property
    def mllog(self) -> Path:
        return self.path / "mlperf.log"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.pt"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    def begin(
        self,
        *,
        arm: str,
        config: dict[str, Any],
        dataset: dict[str, Any],
        machine: dict[str, Any],
        world: dict[str, Any] | None = None,
    ) -> None:
        """Say what runs here, before anything is measured. BadInput when another experiment lives here.

        `world` is None for a run of one process, otherwise {"ranks", "launch"} and what is known of them.
        """
        make_folder(self.path)
        if self.document.exists():
            there = read_json(self.document, "run")
            self._refuse_other(there["config"], config)
            if there["dataset"]["fingerprint"] != dataset["fingerprint"]:
                raise BadInput(f"{self.path}: holds a run on other images; choose another --out")
            self._refuse_other({"ranks": _ranks(there.get("world"))}, {"ranks": _ranks(world)})
            if there["status"] != "failed":
                if there["status"] == "running" and world is not None:
                    write_json(self.document, there | {"world": world})
                return
        document = {
            "schema": SCHEMA,
            "kind": "run",
            "id": self.path.name,
            "arm": arm,
            "status": "running",
            "reason": None,
            "config": config,
            "dataset": dataset,
            "machine": machine,
            "world": world,
            "started_at": time.time(),  # seconds since 1970, when it was first begun
            "result": None,
        }
        write_json(self.document, document)

    def _refuse_other(self, there: dict[str, Any], here: dict[str, Any]) -> None:
        for key, value in here.items():
            if there.get(key) != value:
                raise BadInput(
                    f"{self.path}: holds a run with {key} {there.get(key)!r}, not {value!r}; choose another --out"
                )

    def finish(self, status: Status, reason: str | None, result: Result | None) -> None:
        """Write how the run ended; from here on it is complete."""
        write_json(self.document, self._ended(status, reason, result))

    def write_mllog(self, status: Status, reason: str | None, result: Result) -> None:
        """The run as an MLPerf log, to be written before `finish`."""
        lines = mllog_lines(self._ended(status, reason, result), self.evaluations())
        write_atomic(self.mllog, "".join(f"{line}\n" for line in lines))

    def _ended(self, status: Status, reason: str | None, result: Result | None) -> dict[str, Any]:
        document = read_json(self.document, "run")
        return document | {"status": status, "reason": reason, "result": result.to_json() if result else None}

    def is_finished(self) -> bool:
        """True when the run needs no further work; a failed one is tried again when it is asked for again."""
        return self.document.exists() and read_json(self.document, "run")["status"] not in ("running", "failed")

    def append(self, evaluation: Evaluation) -> None:
        append_text(self.metrics, _line(evaluation))

    def append_noise(self, draw: NoiseDraw) -> None:
        append_text(self.noise, _line(draw))

    def rewrite_metrics(self, evaluations: Iterable[Evaluation]) -> None:
        """Drop what was written after the checkpoint that a restart continues from."""
        write_atomic(self.metrics, "".join(map(_line, evaluations)))

    def rewrite_noise(self, draws: Collection[NoiseDraw]) -> None:
        """The same for the draws of the noise scale; no file where there are none."""
        if draws or self.noise.exists():
            write_atomic(self.noise, "".join(map(_line, draws)))

    def evaluations(self) -> tuple[Evaluation, ...]:
        """The evaluations so far; a line that is still being written is left out."""
        return tuple(_read_lines(self.metrics, Evaluation))

    def draws(self) -> tuple[NoiseDraw, ...]:
        """The draws of the noise scale so far, likewise."""
        return tuple(_read_lines(self.noise, NoiseDraw))

    def record(self) -> RunRecord | None:
        """The run, or None while it has not ended; BadInput names the file that is damaged."""
        if not self.document.exists():
            return None
        document = read_json(self.document, "run")
        if document.get("status") == "running":
            return None
        evaluations = self.evaluations()
        try:
            record = run_from_json(document, evaluations, self.draws())
        except KeyError as error:
            raise BadInput(
                f"{self.document}: damaged, {error} is missing; delete the run's folder to repeat it"
            ) from error
        except (ValueError, TypeError, AttributeError) as error:
            raise BadInput(f"{self.document}: damaged ({error}); delete the run's folder to repeat it") from error
        if record.status == "ok" and not evaluations:
            raise BadInput(f"{self.metrics}: missing or empty, but the run is ok; delete the run's folder to repeat it")
        return record


def _ranks(world: dict[str, Any] | None) -> int:
    return world["ranks"] if world else 1


def _line(value: Evaluation | NoiseDraw) -> str:
    return json.dumps(value.to_json(), allow_nan=False) + "\n"


def _read_lines(path: Path, cls: type[T]) -> list[T]:
    if not path.exists():
        return []
    try:
        whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
        return [from_json(cls, json.loads(line)) for line in whole.splitlines()]
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(f"{path}: not lines of fastbs {path.stem} ({error})") from error
