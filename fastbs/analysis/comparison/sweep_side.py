"""The runs of a sweep, as what can be compared: one row for each arm and batch size, one process for each seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastbs.analysis.comparison.bench_side import ENDED_WELL
from fastbs.analysis.comparison.machine_facts import machine_facts
from fastbs.analysis.comparison.records import Key, Record, Sample, Side, Start
from fastbs.analysis.hit import find_hit
from fastbs.config import RunConfig
from fastbs.results.checked import Checked
from fastbs.results.measurement_files import MeasurementFile
from fastbs.results.record import RunRecord

NAMED = ("model", "precision", "loader", "step")  # settings that name a row, after its arm
ELSEWHERE = ("batch_size", "seed", "data", "norm", "target")  # in the key, counted, the dataset's, resolved, below


def sweep_side(file: MeasurementFile) -> Side:
    """One sweep as a side. BadInput names the run and the key of what cannot be used.

    Runs that were stopped say nothing about their row. Learning rate and epochs are those of the sweep: what its rule
    and its arms made of them is named by the arm.
    """
    plan = Checked(file.document, file.name)
    config, resolved = plan["resolved"]["run"], plan["resolved"]
    target = config.get("target").known(Checked.fraction)
    hold = config.get("hold").known(Checked.count) or RunConfig.hold
    until_target = config.get("until_target").known(Checked.flag) or False
    source = plan.get("machine").get("software").get("source")
    images = plan.get("dataset").get("validation").known(Checked.count)
    return Side(
        files=(file.name,),
        records=tuple(
            _record(key, runs, dict(_samples(runs, target, hold, until_target, images)))
            for key, runs in _rows(file, config).items()
        ),
        workload={
            **{name: _setting(value) for name, value in config.items() if name not in (*NAMED, *ELSEWHERE)},
            **{name: _setting(resolved.get(name)) for name in ("lr_rule", "lr_at", "control_at")},
            "target": "unset" if target is None else target,
            "norm": plan.get("norm").scalar(),
            "dataset": plan.get("dataset").get("fingerprint").scalar(),
        },
        machine=machine_facts(plan.get("machine"), device=config.get("device").known(Checked.text)),
        commit=source.get("commit").known(Checked.text),
        dirty=source.get("dirty").known(Checked.flag),
        starts=(_start(file),),
    )


def _start(file: MeasurementFile) -> Start | None:
    """From the first of its runs to the last; None where a run does not say."""
    starts = [run.started_at for run in file.runs]
    known = [start for start in starts if start is not None]
    return Start(min(known), max(known), None) if known and len(known) == len(starts) else None


def _setting(value: Checked) -> Any:
    """None is not unknown here: it was left unset."""
    return "unset" if value.value is None else value.scalar()


def _rows(file: MeasurementFile, config: Checked) -> dict[Key, list[Run]]:
    """The runs of each row, by seed."""
    named = tuple((name, config.get(name).scalar()) for name in NAMED)
    rows: dict[Key, list[Run]] = {}
    for record in sorted(file.runs, key=lambda run: run.seed):
        run = Run(record, f"{file.name}: {record.id}")
        arm, size = run.checked("arm", record.arm).text(), run.checked("batch_size", record.batch_size).count()
        rows.setdefault((("question", "run"), ("arm", arm), *named, ("batch_size", size)), []).append(run)
    return rows


def _record(key: Key, runs: Sequence[Run], samples: dict[str, Sample]) -> Record:
    """Its status is "ok", or that of the first run that did not end well."""
    heard = [run for run in runs if run.record.status != "stopped"] or runs
    bad = next((run for run in heard if run.record.status not in ENDED_WELL), None)
    return Record(
        key=key,
        status=bad.record.status if bad else "ok",
        reason=bad.checked("reason", bad.record.reason).known(Checked.text) if bad else None,
        samples=samples,
    )


def _samples(
    runs: Sequence[Run], target: float | None, hold: int, until_target: bool, images: int | None
) -> Iterator[tuple[str, Sample]]:
    """Speed and accuracy of the runs that ended well; times also of those that diverged, which is a miss.

    Runs that ended where they held the target have no accuracy to compare: theirs are alike by design. Those that
    shared their node have no times.
    """
    well = [run for run in runs if run.ended_well]
    trained = [run for run in runs if run.ended_well or run.record.status == "diverged"]
    if timed := [run for run in well if not run.record.shared]:
        yield "images_per_second", _sample(timed, lambda run: run.images_per_second)
    if well and not until_target:
        yield "top1", _sample(well, lambda run: run.top1, 1 / images if images else 0.0)
    if target is not None and (timed := [run for run in trained if not run.record.shared]):
        yield "time_to_target_s", _sample(timed, lambda run: run.seconds_to(target, hold))


def _sample(runs: Sequence[Run], value: Callable[[Run], float], resolution: float = 0.0) -> Sample:
    return Sample(
        tuple(map(value, runs)),
        exact=frozenset(run.record for run in runs),
        labels=tuple(run.record.seed for run in runs),
        resolution=resolution,
    )


@dataclass(frozen=True)
class Run:
    """A run whose numbers are checked as they are taken."""

    record: RunRecord
    source: str  # file and run, as a message begins

    def checked(self, key: str, value: Any) -> Checked:
        return Checked(value, self.source, key)

    @property
    def ended_well(self) -> bool:
        """It trained to its end, and says how."""
        return self.record.status in ENDED_WELL and self.record.result is not None and bool(self.record.evaluations)

    @property
    def images_per_second(self) -> float:
        assert self.record.result is not None
        return self.record.batch_size / self.checked("step_seconds", self.record.result.step_seconds).positive()

    @property
    def top1(self) -> float:
        return self.checked("top1", self.record.last.top1).fraction()

    def seconds_to(self, target: float, hold: int) -> float:
        """Training seconds; infinite for a miss. A diverged run is one even when it had been there before."""
        hit = find_hit(self.record.evaluations, target, hold) if self.record.status == "ok" else None
        return self.checked("train_seconds", hit.train_seconds).positive() if hit else math.inf
