"""The exported nets of a sweep: what lies in the folders of its runs, with what was found about each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fastbs.results.artifact_folder import ArtifactFolder, digest
from fastbs.results.checked import Checked
from fastbs.results.files import read_json
from fastbs.results.sweep_folder import SweepFolder

Finding = Literal["made", "not made", "stale"]  # stale: artefact or run are others by now
FINDINGS: tuple[Finding, ...] = ("made", "not made", "stale")


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The artefact and the trained net on the same validation images."""

    images: int
    top1_trained: float
    top1: float
    flips: int  # images that get another class
    error: float | None  # largest difference of a logit, in spreads; None where one is not finite
    same_images: bool  # as those that the run was validated on


@dataclass(frozen=True, kw_only=True)
class CheckFound:
    """check.json; what was not computed is None."""

    ok: bool
    failures: tuple[str, ...] = ()
    evaluators: tuple[tuple[str, int], ...] = ()  # who computed, and how many images
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
    document = artifact.load()
    own, config = Checked(document, str(artifact.document)), planned["config"]
    trained = (planned["arm"].text(), config["batch_size"].count(), int(config["seed"].zero_or_more()))
    to, precision = own["to"].text(), own["precision"].text()
    exported = tuple(own["run"][key].value for key in ("arm", "batch_size", "seed"))
    intact = exported == trained and document["digest"] == digest(document)
    check = _found(artifact.check, "artifact-check")
    latency = _found(artifact.latency, "latency")
    checked = _finding(artifact, artifact.check, check, intact)
    if check and check.value.get("digest") == document["digest"] and check["status"].text() == "failed":
        checked = "made"  # what it found may be just that the artefact was changed
    timed = _finding(artifact, artifact.latency, latency, intact)
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


def _found(path: Path, kind: str) -> Checked | None:
    return Checked(read_json(path, kind), str(path)) if path.exists() else None


def _finding(artifact: ArtifactFolder, path: Path, found: Checked | None, intact: bool) -> Finding:
    """`intact`: artifact.json is as it was written, and of the run that it lies in."""
    if found is None:
        return "not made"
    return "made" if intact and artifact.finding(path, found["kind"].text()) else "stale"


def _check(found: Checked) -> CheckFound:
    """Of fp16, some images are also computed with every result rounded: that is part of its error."""
    parts = [found, *([rounded] if (rounded := found.get("rounded")).value else [])]
    parts = [part for part in parts if part.get("images").value is not None]
    return CheckFound(
        ok=found["status"].text() == "ok",
        failures=tuple(failure.text() for failure in found.get("failures").each()),
        evaluators=tuple((part["evaluator"].text(), part["images"].count()) for part in parts),
        engine=found.get("engine").known(Checked.text),
        compared=_compared(found, parts) if found.get("images").value is not None else None,
    )


def _compared(found: Checked, parts: Sequence[Checked]) -> Compared:
    errors = [part["error"]["max"].known(Checked.zero_or_more) for part in parts]
    finite = [error for error in errors if error is not None]
    return Compared(
        images=found["images"].count(),
        top1_trained=found["top1_reference"].fraction(),
        top1=found["top1"].fraction(),
        flips=int(found["flips"].zero_or_more()),
        error=max(finite) if len(finite) == len(errors) else None,
        same_images=found.get("same_images").known(Checked.flag) is not False,
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
