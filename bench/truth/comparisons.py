"""How often each verdict of `compare` is printed where it is true, and where it is false.

`judge(world, ...)` compares simulated sides of a known world, `study(...)` does so for all of them, and `markdown(...)`
prints what it found: `python -m fastbs.bench.truth.comparisons`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
    shared: float = 0.0  # correlation of two rows of one process
    sessions: int = 0  # a side; 0: the files do not say when they were measured
    session_sd: float = 0.0  # of a session, the same for all rows
    same_sessions: bool = False  # both sides are measured in each of them
    calibrated: bool = False  # the noise of processes and of sessions is known

    def sides(self, rng: np.random.Generator, change: float, part: float) -> tuple[Side, Side]:
        """HEAD's images/s are 1 + change times BASE's in a `part` of the rows, the first ones."""
        sds = self.sd * np.exp(rng.uniform(-self.spread, self.spread, self.rows))
        factors = np.where(np.arange(self.rows) < math.ceil(part * self.rows), 1 + change, 1.0)
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

    @property
    def metric(self) -> str:
        """The one that is changed."""
        return "images_per_second"

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
    correlation: float = 0.0  # of two rows of one seed
    paired: float = 0.0  # of BASE and HEAD with one seed
    step_sd: float = 0.02  # of a run's seconds per step
    validation: int = 2000  # images
    copied: bool = False  # HEAD is BASE but for the change

    def sides(self, rng: np.random.Generator, change: float, part: float) -> tuple[Side, Side]:
        """HEAD's accuracy is `change` above BASE's in a `part` of the rows, the first ones."""
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
            moved = np.where(np.arange(rows) < math.ceil(part * rows), change, 0.0) if index else np.zeros(rows)
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

    @property
    def metric(self) -> str:
        return "top1"

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
        """The share with its standard error in parentheses, "1.5 (0.4) %"."""
        return "–" if not self.of else f"{100 * self.value:.1f} ({100 * self.error:.1f}) %"


@dataclass(frozen=True)
class Judged:
    """One world and one truth: shares of rows by whether the row was changed, and of comparisons."""

    name: str
    change: float
    trials: int
    changed_rows: Mapping[str, float]  # verdict -> share of the rows that were changed
    other_rows: Mapping[str, float]  # the same of the rows that were not
    curves: Mapping[str, float]
    alarms: Share  # comparisons with a change called in a row, or a curve, where there is none
    all_found: Share  # comparisons in which every changed row is called
    exit_1: Share
    silent: Share  # comparisons of something worse that end with 0 and do not say that they are blind


def judge(name: str, world: World | SweepWorld, *, change: float, trials: int, seed: int, part: float = 1.0) -> Judged:
    """Compare `trials` times; HEAD is `change` (a share, or points) away from BASE in a `part` of the rows."""
    rng, options = np.random.default_rng(seed), world.options()
    changed_rows, other_rows, curves = Counter[str](), Counter[str](), Counter[str]()
    alarms, all_found, exit_1, silent = 0, 0, 0, 0
    for _ in range(trials):
        document = compare(*world.sides(rng, change, part), options=options, gate=GATE)
        changed, others = _by_truth(document["rows"], world, change, part)
        lines = [curve["verdict"] for curve in document["curves"] if curve["metric"] == world.metric]
        changed_rows.update(changed)
        other_rows.update(others)
        curves.update(lines)
        found = bool(changed) and all(word in CHANGED for word in changed)
        alarms += any(word in CHANGED for word in [*others, *(() if change else lines)])
        all_found += found
        exit_1 += document["gate"]["exit_code"] == 1
        silent += change < 0 and document["gate"]["exit_code"] == 0 and not document["gate"]["unseen"]
    return Judged(
        name,
        change,
        trials,
        _shares(changed_rows),
        _shares(other_rows),
        _shares(curves),
        Share(alarms, trials),
        Share(all_found, trials if change else 0),
        Share(exit_1, trials),
        Share(silent, trials if change < 0 else 0),
    )


def _by_truth(
    rows: Sequence[Mapping[str, Any]], world: World | SweepWorld, change: float, part: float
) -> tuple[list[str], list[str]]:
    """Verdicts of the rows that were changed, and of all others; other metrics never are."""
    own = sum(row["metric"] == world.metric for row in rows)
    moved = math.ceil(part * own) if change else 0
    truth = [row["metric"] == world.metric and world.index_of(row["key"]) < moved for row in rows]
    return (
        [row["verdict"] for row, true in zip(rows, truth, strict=True) if true],
        [row["verdict"] for row, true in zip(rows, truth, strict=True) if not true],
    )


def _shares(counts: Counter[str]) -> dict[str, float]:
    total = counts.total()
    return {word: count / total for word, count in counts.items()} if total else {}


# As measured: 60 processes of 20 unchanged rows of pytest-benchmark, one after the other on two shared cores (docs).
MEASURED = World(sd=0.032, spread=1.1, shared=0.32, scatter="t3", session_sd=0.012)


def worlds() -> dict[str, tuple[World | SweepWorld, tuple[float, ...], float]]:
    """By name: the world, the changes that are tried in it, and the part of its rows that is changed."""
    found: dict[str, tuple[World | SweepWorld, tuple[float, ...], float]] = {}
    for rows in (1, 20, 200):
        for processes in (1, 2, 3, 5, 8):
            for scatter in SCATTERS:
                changes = (0.0, -0.1, 0.1) if scatter == "normal" and rows == 20 else (0.0,)
                world = World(rows=rows, processes=processes, scatter=scatter)
                found[f"{rows} rows, {processes} processes, {scatter}"] = world, changes, 0.25
    for processes in (3, 5, 8):
        quiet = World(processes=processes, sd=0.005)
        found[f"20 quiet rows (0.5 %), {processes} processes"] = quiet, (0.0, -0.04, -0.1), 0.25
        uneven = World(processes=processes, spread=1.5)
        found[f"20 uneven rows (0.7 to 13 %), {processes} processes"] = uneven, (0.0, -0.1), 0.25
        found[f"20 rows with shared luck, {processes} processes"] = World(processes=processes, shared=0.5), (0.0,), 1.0
        curves = World(rows=4, processes=processes, sd=0.02)
        found[f"a curve of 4 sizes, {processes} processes"] = curves, (0.0, -0.1, 0.1), 1.0
    for processes in (1, 2, 3, 5, 8):
        as_measured = replace(MEASURED, processes=processes, session_sd=0.0)
        found[f"as measured, one session, {processes} processes"] = as_measured, (0.0, -0.3), 0.25
        apart = replace(MEASURED, processes=processes, sessions=1)
        found[f"as measured, a session a side, {processes} processes"] = apart, (0.0, -0.3), 0.25
    for sessions in (1, 2, 3, 5):
        for sd in (0.035, 0.07):
            world = World(processes=3, sessions=sessions, session_sd=sd)
            found[f"{sessions} sessions a side of sd {100 * sd:g} %, 3 processes each"] = world, (0.0, -0.3), 1.0
    same = World(processes=3, sessions=4, session_sd=0.07, same_sessions=True)
    found["4 sessions that both sides share, sd 7 %"] = same, (0.0, -0.1), 1.0
    for processes in (1, 3, 5):
        known = World(processes=processes, sessions=1, session_sd=0.02, calibrated=True)
        found[f"calibrated, a session a side, {processes} processes"] = known, (0.0, -0.2), 0.25
    for seeds in (2, 3, 5):
        for correlation in (0.0, 0.5):
            sweep = SweepWorld(seeds=seeds, correlation=correlation)
            found[f"sweep, {seeds} seeds, correlation {correlation:g}"] = sweep, (0.0, -0.05, 0.05), 1.0
        uneven_sweep = SweepWorld(seeds=seeds, sd=0.018, spread=1.5)
        found[f"uneven sweep (0.4 to 8 points), {seeds} seeds"] = uneven_sweep, (0.0, -0.05), 1.0
        found[f"sweep copied, {seeds} seeds"] = SweepWorld(seeds=seeds, copied=True), (0.0, -0.05), 1.0
    found["sweep, 5 seeds, BASE and HEAD correlated .5"] = SweepWorld(paired=0.5), (0.0, -0.05), 1.0
    found["sweep, 3 seeds, runs of sd 0.5 points"] = SweepWorld(seeds=3, sd=0.005), (0.0, -0.05), 1.0
    return found


def study(trials: int = 600, seed: int = 20261201) -> Iterator[Judged]:
    """Every world with every truth; of 200 rows a fifth of the trials."""
    for number, (name, (world, changes, part)) in enumerate(worlds().items()):
        fewer = trials // 5 if isinstance(world, World) and world.rows > 100 else trials
        for change in changes:
            yield judge(name, world, change=change, trials=fewer, seed=seed + number, part=part)


@dataclass(frozen=True)
class VerdictTruth:
    """How often a verdict is printed where it is true, with five processes or seeds a side, and where it is false."""

    verdict: str
    where_true: tuple[float, float] | None  # in the worlds where that is least and most
    where_false: float  # at most
    world: str  # of `where_false`


def verdicts(found: Sequence[Judged]) -> list[VerdictTruth]:
    """Of rows, curves and comparisons. "cannot tell", which claims nothing: of unchanged rows, and of changed ones."""
    sweeps, benches = ([one for one in found if _of_sweeps(one) == wanted] for wanted in (True, False))
    rows = [
        _verdict("slower", benches, lambda change: change < 0),
        _verdict("faster", benches, lambda change: change > 0),
        _verdict("worse", sweeps, lambda change: change < 0),
        _verdict("better", sweeps, lambda change: change > 0),
        _verdict("same", found, lambda change: not change),
        _verdict("cannot tell", found, lambda change: not change),
    ]
    curves = [(sum(one.curves.get(word, 0.0) for word in CHANGED), one) for one in found if one.curves]
    gates = [(one.exit_1.value, one) for one in found]
    return [
        *rows,
        _truth_of(
            "curve slower or faster",
            [(share, one) for share, one in curves if one.change and one.name.startswith("a curve")],
            [(share, one) for share, one in curves if not one.change],
        ),
        _truth_of(
            "gate: exit code 1",
            [(share, one) for share, one in gates if one.change < 0],
            [(share, one) for share, one in gates if one.change >= 0],
        ),
    ]


def _verdict(word: str, found: Sequence[Judged], is_true: Callable[[float], bool]) -> VerdictTruth:
    """Rows that were not changed have a change of 0, whatever that of the others."""
    shares = [(one.other_rows.get(word, 0.0), 0.0, one) for one in found if one.other_rows]
    shares += [(one.changed_rows.get(word, 0.0), one.change, one) for one in found if one.changed_rows]
    return _truth_of(
        word,
        [(share, one) for share, change, one in shares if is_true(change)],
        [(share, one) for share, change, one in shares if not is_true(change)],
    )


def _truth_of(
    verdict: str, true: Sequence[tuple[float, Judged]], false: Sequence[tuple[float, Judged]]
) -> VerdictTruth:
    of_five = [share for share, one in true if "5 processes" in one.name or "5 seeds" in one.name]
    most, world = max(false, key=lambda pair: pair[0])
    return VerdictTruth(verdict, (min(of_five), max(of_five)) if of_five else None, most, world.name)


def _of_sweeps(one: Judged) -> bool:
    return "sweep" in one.name


COLUMNS = (
    *("world", "change", "trials", "false alarm", "changed rows called", "all of them called", "unchanged rows same"),
    *("exit code 1", "exit code 0 and not blind"),
)


def markdown(found: Sequence[Judged]) -> str:
    """Three tables: the verdicts over all worlds, alarms by rows, processes and noise, and every other world."""
    grid = [one for one in found if any(one.name.endswith(f", {scatter}") for scatter in SCATTERS) and not one.change]
    rest = [one for one in found if one not in grid]
    lines = _table(
        ("verdict", "where it is true, 5 a side", "where it is false, at most", "there"),
        [
            (one.verdict, _percents(one.where_true), f"{100 * one.where_false:.1f} %", one.world)
            for one in verdicts(found)
        ],
    )
    alarms = {one.name: one.alarms.text for one in grid}
    sizes = dict.fromkeys(one.name.rpartition(", ")[0] for one in grid)
    lines += _table(
        ("unchanged", *SCATTERS), [(size, *(alarms[f"{size}, {scatter}"] for scatter in SCATTERS)) for size in sizes]
    )
    return "\n".join([*lines, *_table(COLUMNS, [_cells(one) for one in rest])])


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)] + [""] if rows else []


def _cells(one: Judged) -> tuple[str, ...]:
    called = sum(one.changed_rows.get(word, 0.0) for word in CHANGED)
    unit = "points" if _of_sweeps(one) else "%"
    return (
        one.name,
        f"{100 * one.change:+g} {unit}" if one.change else "none",
        f"{one.trials:,}",
        one.alarms.text,
        f"{100 * called:.1f} %" if one.change else "",
        one.all_found.text if one.change else "",
        f"{100 * one.other_rows.get('same', 0.0):.0f} %" if one.other_rows else "",
        one.exit_1.text,
        one.silent.text if one.change < 0 else "",
    )


def _percents(shares: tuple[float, float] | None) -> str:
    return "" if shares is None else f"{100 * shares[0]:.1f} to {100 * shares[1]:.1f} %"


if __name__ == "__main__":
    print(markdown(list(study())))
