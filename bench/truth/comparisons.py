"""How often each verdict of `compare` is printed where it is true, and where it is false.

`judge(world, ...)` compares simulated sides of a known world; `study(...)` does so for all of them and `markdown(...)`
prints it. Worlds that were looked at while the rules were chosen have other seeds than the study.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np

from fastbs.analysis.comparison.calibration import Calibration
from fastbs.analysis.comparison.compare import compare
from fastbs.analysis.comparison.gate import DEFAULT_GATE, Gate
from fastbs.analysis.comparison.options import Options
from fastbs.analysis.comparison.records import Record, Sample, Side, Start
from fastbs.analysis.comparison.sides import make_side
from fastbs.bench.truth.laws import SCATTERS, Array, correlated, monte_carlo_error
from fastbs.bench.truth.records import dataset, plan_document, planned_run, run_config, run_record, sweep_file
from fastbs.config import SweepConfig
from fastbs.results.record import RunRecord

GATE = Gate.parse(DEFAULT_GATE, "default gate")
DAY = 86_400.0
SIZES = (1, 8, 64, 512)  # of a curve
CHANGED = ("slower", "faster", "worse", "better")


@dataclass(frozen=True)
class World:
    """Rows of images/s on curves of four sizes; standard deviations are of logarithms."""

    rows: int = 20
    processes: int = 5  # a side, in each of its sessions
    scatter: str = "normal"
    sd: float = 0.03  # of a process
    spread: float = 0.0  # of the rows' standard deviations: ln sd is uniform within +-spread
    shared: float = 0.0  # squared correlation of two rows of one process
    sessions: int = 0  # a side; 0: the files do not say when they were measured
    session_sd: float = 0.0  # of a session, the same for all rows
    same_sessions: bool = False  # both sides are measured in each of them
    calibrated: bool = False  # the noise of processes and of sessions is known

    def sides(self, rng: np.random.Generator, change: float, hit: float) -> tuple[Side, Side]:
        """HEAD's images/s are 1 + change times BASE's in a share `hit` of the rows, the first ones."""
        sds = self.sd * np.exp(rng.uniform(-self.spread, self.spread, self.rows))
        factors = np.where(np.arange(self.rows) < math.ceil(hit * self.rows), 1 + change, 1.0)
        number = max(1, self.sessions)
        shifts = self.session_sd * rng.standard_normal((1 if self.same_sessions else 2, number))
        sides = []
        for index, factor in enumerate((np.ones(self.rows), factors)):
            at = 0 if self.same_sessions else index
            files = tuple(f"{'base' if index == 0 else 'head'}-{session}" for session in range(number))
            starts = tuple(Start(DAY * (2 * session + at), DAY * (2 * session + at), "m") for session in range(number))
            luck = np.concatenate([self._luck(rng, sds) + shifts[at, session] for session in range(number)], axis=1)
            of_files = tuple(session for session in range(number) for _ in range(self.processes))
            values = 1000 * factor[:, None] * np.exp(luck)
            records = tuple(
                Record(_key(row), samples={"images_per_second": Sample(tuple(map(float, v)), 0.0, files=of_files)})
                for row, v in enumerate(values)
            )
            sides.append(Side(files, records, {}, {}, starts=starts if self.sessions else ()))
        return sides[0], sides[1]

    def _luck(self, rng: np.random.Generator, sds: Array) -> Array:
        drawn = correlated(rng, self.rows, self.processes, self.shared, SCATTERS[self.scatter])
        return np.asarray(sds[:, None] * drawn)

    def index_of(self, key: Mapping[str, Any]) -> int:
        """The number of a row by the key that the document has of it."""
        return 4 * int(key["model"].removeprefix("net")) + SIZES.index(key["batch_size"])

    def options(self) -> Options:
        if not self.calibrated:
            return Options()
        entries: list[tuple[Hashable, ...]] = [
            (*sorted(_key(row), key=lambda item: item[0]), "images_per_second") for row in range(self.rows)
        ]
        noise = {entry: (math.sqrt(2) * self.sd, 19.0) for entry in entries}
        sessions = {entry: (math.sqrt(2) * self.session_sd, 5.0) for entry in entries}
        return Options(calibration=Calibration("noise.json", noise, sessions=sessions))


def _key(row: int) -> tuple[tuple[str, Any], ...]:
    return (("question", "throughput"), ("model", f"net{row // 4}"), ("batch_size", SIZES[row % 4]))


@dataclass(frozen=True)
class SweepWorld:
    """Sweeps with a row for each batch size; HEAD's seeds are BASE's, its noise is drawn anew."""

    seeds: int = 5
    sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    sd: float = 0.01  # of a run's accuracy
    spread: float = 0.0  # of the rows' standard deviations, as above
    correlation: float = 0.0  # squared, of two rows of one seed
    paired: float = 0.0  # the same of BASE and HEAD with one seed
    step_sd: float = 0.02  # of a run's seconds per step
    validation: int = 2000  # images
    copied: bool = False  # HEAD is BASE but for the change

    def sides(self, rng: np.random.Generator, change: float, hit: float) -> tuple[Side, Side]:
        """HEAD's accuracy is `change` above BASE's in a share `hit` of the rows, the first ones."""
        rows = len(self.sizes)
        sds = self.sd * np.exp(rng.uniform(-self.spread, self.spread, rows))
        common = correlated(rng, rows, self.seeds, self.correlation)
        drawn = [correlated(rng, rows, self.seeds, self.correlation) for _ in "AB"]
        steps = [rng.standard_normal((rows, self.seeds)) for _ in "AB"]
        if self.copied:
            drawn[1], steps[1] = drawn[0], steps[0]
        sides = []
        for index in range(2):
            noise = math.sqrt(self.paired) * common + math.sqrt(1 - self.paired) * drawn[index]
            moved = np.where(np.arange(rows) < math.ceil(hit * rows), change, 0.0) if index else np.zeros(rows)
            top1 = np.clip(0.85 + moved[:, None] + sds[:, None] * noise, 0, 1)
            sides.append(self._side(f"sweep-{index}", top1, np.exp(self.step_sd * steps[index])))
        return sides[0], sides[1]

    def _side(self, name: str, top1: Array, slowness: Array) -> Side:
        plan, templates = _planned(self.sizes, self.seeds, self.validation)
        records = []
        for (row, seed), template in templates.items():
            assert template.result is not None
            seconds = 0.001 * (1 + self.sizes[row] / 8) * float(slowness[row, seed])
            value = round(float(top1[row, seed]) * self.validation) / self.validation
            [evaluation] = template.evaluations
            records.append(
                replace(
                    template,
                    evaluations=(replace(evaluation, top1=value),),
                    result=replace(template.result, step_seconds=seconds),
                )
            )
        return make_side([sweep_file(plan, records, name)])

    def index_of(self, key: Mapping[str, Any]) -> int:
        return self.sizes.index(key["batch_size"])

    def options(self) -> Options:
        return Options()


@cache
def _planned(
    sizes: tuple[int, ...], seeds: int, validation: int
) -> tuple[dict[str, Any], dict[tuple[int, int], RunRecord]]:
    """A sweep's plan and its runs by (row, seed), evaluated once, whose numbers are replaced in each trial."""
    sweep = SweepConfig(run=run_config(model="small", epochs=2.0), batch_sizes=sizes, seeds=seeds)
    places = [(row, seed) for row in range(len(sizes)) for seed in range(seeds)]
    runs = [planned_run(sweep, "main", sizes[row], seed) for row, seed in places]
    records = [run_record(run, [1000], [0.5], step_seconds=0.001) for run in runs]
    return plan_document(sweep, dataset(validation=validation), runs), dict(zip(places, records, strict=True))


@dataclass(frozen=True)
class Share:
    """How often something was said."""

    said: int
    of: int

    @property
    def value(self) -> float:
        return self.said / self.of if self.of else math.nan

    @property
    def error(self) -> float:
        """One standard error of the count; rows of one comparison are counted as one."""
        return monte_carlo_error(self.value, self.of)

    @property
    def text(self) -> str:
        return "–" if not self.of else f"{100 * self.value:.1f} ±{100 * self.error:.1f} %"


@dataclass(frozen=True)
class Judged:
    """One world and one truth: shares of rows by whether the row was changed, and of comparisons."""

    name: str
    change: float
    trials: int
    hit_rows: Mapping[str, float]  # verdict -> share of the rows that were changed
    other_rows: Mapping[str, float]
    any_false: Share  # comparisons with a verdict of a change, in a row or curve where there is none
    all_found: Share  # comparisons in which every changed row is called so
    curves: Mapping[str, float] = field(default_factory=dict)
    exit_1: Share = Share(0, 0)
    blind: Share = Share(0, 0)

    def error_of(self, share: float) -> float:
        """An upper bound of one standard error of a share of rows: as if a comparison's rows were all alike."""
        return monte_carlo_error(share, self.trials)


def judge(
    world: World | SweepWorld,
    *,
    change: float,
    trials: int,
    seed: int,
    hit: float = 1.0,
    name: str = "",
    metric: str = "",
) -> Judged:
    """Compare `trials` times. `metric` is the one that was changed; rows of others count as not changed."""
    rng = np.random.default_rng(seed)
    metric = metric or ("top1" if isinstance(world, SweepWorld) else "images_per_second")
    hit_rows, other_rows, curves = Counter[str](), Counter[str](), Counter[str]()
    any_false = all_found = exit_1 = blind = 0
    options = world.options()
    for _ in range(trials):
        base, head = world.sides(rng, change, hit)
        document = compare(base, head, options=options, gate=GATE)
        rows = [row for row in document["rows"] if row["metric"] == metric]
        moved = math.ceil(hit * len(rows)) if change else 0
        found = [row for row in rows if world.index_of(row["key"]) < moved]
        others = [row for row in document["rows"] if row not in found]
        hit_rows.update(row["verdict"] for row in found)
        other_rows.update(row["verdict"] for row in others)
        curves.update(curve["verdict"] for curve in document["curves"] if curve["metric"] == metric)
        still = others + ([] if change and metric != "top1" else document["curves"])
        any_false += any(row["verdict"] in CHANGED for row in still)
        all_found += bool(found) and all(row["verdict"] in CHANGED for row in found)
        exit_1 += document["gate"]["exit_code"] == 1
        blind += bool(document["gate"]["unseen"])
    return Judged(
        name,
        change,
        trials,
        _shares(hit_rows),
        _shares(other_rows),
        Share(any_false, trials),
        Share(all_found, trials if change else 0),
        _shares(curves),
        Share(exit_1, trials),
        Share(blind, trials),
    )


def _shares(counts: Counter[str]) -> dict[str, float]:
    total = counts.total()
    return {word: count / total for word, count in counts.items()} if total else {}
