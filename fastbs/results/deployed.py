"""The exported nets of a sweep: what lies in the folders of its runs, with what was found about each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fastbs.results.artifact_folder import ArtifactFolder, digest
from fastbs.results.checked import Checked
from fastbs.results.files import read_json
from fastbs.results.sweep_folder import SweepFolder

Finding = Literal["made", "not made", "stale"]  # stale: of another artefact or run than lies here now
FINDINGS: tuple[Finding, ...] = ("made", "not made", "stale")


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The artefact and the trained net on the same validation images."""

    images: int
    top1_trained: float
    top1: float
    flips: int  # images that get another class
    error: float | None  # largest difference of a logit, in spreads; None where one is not finite


@dataclass(frozen=True, kw_only=True)
class CheckFound:
    """check.json; what was not computed is None."""

    ok: bool
    failures: tuple[str, ...] = ()
    evaluator: str | None = None
    engine: str | None = None  # "run", or "built, not run: ..."; None of what is no engine
    compared: Compared | None = None

    @property
    def engine_not_run(self) -> bool:
        """Then what was compared is the graph that the engine was built from."""
        return self.engine not in (None, "run")


@dataclass(frozen=True, kw_only=True)
class LatencyRow:
    """One row of latency.json; times in milliseconds, over all calls of its processes; None where it is not ok."""

    machine: str | None  # name of the GPU or CPU that computed
    cuda_graph: bool
    batch_size: int  # of inference
    status: str
    reason: str | None
    p50_ms: float | None
    p99_ms: float | None
    images_per_second: float | None


@dataclass(frozen=True, kw_only=True)
class DeployedNet:
    """One artefact of a run. `check` and `latency` hold only what was found about the artefact that lies here now."""

    folder: str
    arm: str
    batch_size: int  # of the training
    seed: int
    to: str
    precision: str
    check_finding: Finding = "not made"
    check: CheckFound | None = None
    latency_finding: Finding = "not made"
    latency: tuple[LatencyRow, ...] = ()


def deployed_nets(folder: SweepFolder) -> list[DeployedNet]:
    """The artefacts in the folders of the sweep's runs, in the order of its plan; BadInput where one is damaged.

    Those that were exported to a place of their own (--out) are not among them. Hashes of files are not computed again.
    """
    plan = Checked(read_json(folder.document, "sweep-plan"), str(folder.document))
    return [net for run in plan["runs"].each() for net in _of_run(folder.run(run["id"].text()).path, run)]


def _of_run(path: Path, planned: Checked) -> Iterator[DeployedNet]:
    for file in sorted(path.rglob("artifact.json")):
        if not any(part.startswith(".") for part in file.relative_to(path).parts):  # an export that was cut off
            yield _read(ArtifactFolder(file.parent), planned)


def _read(artifact: ArtifactFolder, planned: Checked) -> DeployedNet:
    document = read_json(artifact.document, "artifact")
    own = Checked(document, str(artifact.document))
    config = planned["config"]
    trained = (planned["arm"].text(), config["batch_size"].count(), int(config["seed"].zero_or_more()))
    exported = tuple(own["run"][key].value for key in ("arm", "batch_size", "seed"))
    here = exported == trained and document.get("digest") == digest(document)
    checked, check = _finding(artifact.check, "artifact-check", document, here)
    timed, latency = _finding(artifact.latency, "latency", document, here)
    failed = check is not None and check["status"].text() == "failed"
    if failed:
        checked = "made"  # also where artifact.json itself is what was found to be changed
    to, precision = own["to"].text(), own["precision"].text()
    return DeployedNet(
        folder=str(artifact.path),
        arm=trained[0],
        batch_size=trained[1],
        seed=trained[2],
        to=to,
        precision=precision,
        check_finding=checked,
        check=_check(check) if check and checked == "made" else None,
        latency_finding=timed,
        latency=tuple(_rows(latency, to, precision)) if latency and timed == "made" else (),
    )


def _finding(path: Path, kind: str, document: Mapping[str, Any], here: bool) -> tuple[Finding, Checked | None]:
    """Whether `path` holds something about `document`, and that; `here`: the artefact is the run's own, unchanged."""
    if not path.exists():
        return "not made", None
    found = read_json(path, kind)
    if found.get("digest") != document.get("digest"):
        return "stale", None
    return ("made" if here else "stale"), Checked(found, str(path))


def _check(found: Checked) -> CheckFound:
    return CheckFound(
        ok=found["status"].text() == "ok",
        failures=tuple(failure.text() for failure in found.get("failures").each()),
        evaluator=found.get("evaluator").known(Checked.text),
        engine=found.get("engine").known(Checked.text),
        compared=None if found.get("images").value is None else _compared(found),
    )


def _compared(found: Checked) -> Compared:
    return Compared(
        images=found["images"].count(),
        top1_trained=found["top1_reference"].fraction(),
        top1=found["top1"].fraction(),
        flips=int(found["flips"].zero_or_more()),
        error=found["error"]["max"].known(Checked.zero_or_more),
    )


def _rows(found: Checked, to: str, precision: str) -> Iterator[LatencyRow]:
    """Those of the artefact itself: torch, measured beside it, is left out."""
    machine = _computed_by(found["machine"], to)
    for row in found["rows"].each():
        if (row["backend"].text(), row["precision"].text()) == (to, precision):
            yield _row(row, machine)


def _row(row: Checked, machine: str | None) -> LatencyRow:
    ok = row["status"].text() == "ok"
    return LatencyRow(
        machine=machine,
        cuda_graph=row["cuda_graph"].flag(),
        batch_size=row["batch_size"].count(),
        status=row["status"].text(),
        reason=row["reason"].known(Checked.text),
        p50_ms=row["latency"]["p50_ms"].positive() if ok else None,
        p99_ms=row["latency"]["p99_ms"].positive() if ok else None,
        images_per_second=row["images_per_second"].positive() if ok else None,
    )


def _computed_by(machine: Checked, to: str) -> str | None:
    """ONNX Runtime computes on the CPU, all others on the first GPU."""
    if to == "onnx":
        return machine.get("cpu").get("model").known(Checked.text)
    devices = list(machine.get("gpu").get("devices").each())
    return devices[0].get("name").known(Checked.text) if devices else None
