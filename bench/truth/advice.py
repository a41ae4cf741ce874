"""How often what `fastbs advise` prints is right, in simulated sweeps whose true times are known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fastbs.analysis.advice.document import advise
from fastbs.analysis.advice.gather import gather
from fastbs.analysis.optimum import TOLERANCE
from fastbs.analysis.rate_search import search_rate
from fastbs.bench.truth.laws import SCATTERS, Cliffs, Line, Power, StepLaw, correlated, monte_carlo_error
from fastbs.bench.truth.records import dataset, plan_document, planned_run, run_config, run_record, sweep_file
from fastbs.config import SweepConfig
from fastbs.results.measurement_files import MeasurementFile
from fastbs.results.record import RunRecord

TARGET = 0.8
BINS = (0.6, 0.7, 0.8, 0.9, 0.95, 1.0)  # of stated certainty
TUNING, JUDGING = 1_000, 2_000_000  # first seeds: what was looked at while the model was made, and what judges it
E_MIN = 20_000.0  # images
DOUBLING, QUADRUPLING = (2, 4, 8, 16, 32, 64, 128), (1, 4, 16, 64, 256)
LR, RATE_POWER = 0.02, 0.7  # best rate at batch 8, and how it grows with the size


@dataclass(frozen=True)
class World:
    """Images E_MIN (1 + B / b_crit), steps by a law, and what hides them."""

    name: str
    step: StepLaw = field(default_factory=Line)
    b_crit: float = 60.0
    sizes: tuple[int, ...] = DOUBLING
    seeds: int = 3
    spread: float = 0.1  # over seeds, of log images
    correlation: float = 0.0  # of a seed's images over the sizes
    step_spread: float = 0.02  # over runs, of log step time
    scatter: str = "normal"  # of the step time
    rate_error: float = 0.0  # of log images at a size, the same for all seeds
    curvature: float = (
        0.0  # above 0: rates are searched by trials; log images grow by so much times (log rate - best)^2
    )
    budget: float = math.inf  # images, in E_MIN
    diverging: float = 0.0  # share of the runs at the two largest sizes that diverge
    described: bool = True  # by the law or a floor

    def drawn(self, seed: int) -> World:
        """The same with B_crit from half to twice as much, so that no world stands on the edge of 5 % by design."""
        return replace(self, b_crit=self.b_crit * 2 ** np.random.default_rng(seed + 500_000).uniform(-1, 1))

    def seconds(self, batch_size: float) -> float:
        return E_MIN * (1 / batch_size + 1 / self.b_crit) * self.step(batch_size)

    @property
    def least(self) -> float:
        """Over all sizes from the smallest to the largest of the sweep."""
        return min(self.seconds(size) for size in range(self.sizes[0], self.sizes[-1] + 1))

    def excess(self, batch_size: int, lr: float) -> float:
        """What a rate costs above the best one, in log images."""
        best = LR * (batch_size / 8) ** RATE_POWER
        return self.curvature * math.log(lr / best) ** 2


@dataclass(frozen=True)
class Outcome:
    """Of one sweep; None where nothing was said."""

    regret: float | None  # true time at the recommended size over the least - 1
    sure: float | None
    time_covered: bool | None  # the time at the best rate of the size
    own_time_covered: bool | None  # the time at the rate that is recommended
    b_crit_covered: bool | None
    low_within: bool | None  # whether the lower end of the range is within the tolerance
    high_within: bool | None
    level: float | None
    sizes_in_range: float | None  # upper over lower end


def floor(knee: float) -> Line:
    return Line(beta=0.08e-3, host=1.2e-3 + 0.08e-3 * knee)


def worlds() -> list[World]:
    found = [World(f"line, {n} seeds, sd {sd:g}", seeds=n, spread=sd) for n in (3, 5) for sd in (0.05, 0.15, 0.25)]
    found += [World(f"line, sizes x4, B_crit {b:g}", b_crit=b, sizes=QUADRUPLING) for b in (15.0, 300.0)]
    found += [World("line, 4 sizes x4", sizes=(2, 8, 32, 128))]
    found += [World(f"line, seeds correlated, sd {sd:g}", correlation=0.6, spread=sd) for sd in (0.1, 0.2)]
    found += [World(f"line, step sd {sd:g} {s}", step_spread=sd, scatter=s) for s in SCATTERS for sd in (0.05, 0.15)]
    found += [World("line, step sd .1, 5 seeds", step_spread=0.1, seeds=5)]
    found += [World(f"floor to {k}, x2", floor(k), 400, (8, 16, 32, 64, 128, 256, 512)) for k in (96, 180)]
    found += [World(f"floor to {k}, x4", floor(k), 400, (4, 16, 64, 256, 1024)) for k in (96, 180)]
    found += [World("floor to 180, x4, step sd .08", floor(180), 400, (4, 16, 64, 256, 1024), step_spread=0.08)]
    found += [World(f"rates off by {e:g}", rate_error=e, seeds=n) for e in (0.05, 0.12) for n in (3, 5)]
    found += [World("rates off by .1, correlated", rate_error=0.1, correlation=0.6, spread=0.15)]
    found += [World(f"tuned by trials, {n} seeds", curvature=0.25, spread=0.15, seeds=n) for n in (3, 5)]
    found += [World("tuned by trials, correlated", curvature=0.15, spread=0.2, correlation=0.6)]
    found += [World(f"budget {b:g} E_min", budget=b, spread=sd) for b, sd in ((2.0, 0.1), (1.5, 0.15), (1.3, 0.1))]
    found += [World("budget 1.5 E_min, correlated", budget=1.5, spread=0.15, correlation=0.6, seeds=5)]
    found += [World("one in five diverges", diverging=0.2, seeds=5)]
    found += [World("B^.9", Power(), described=False), World("cliffs", Cliffs(), described=False)]
    return found


def simulate(world: World, seed: int) -> MeasurementFile:
    """A sweep as it would stand on disk."""
    rng = np.random.default_rng(seed)
    sizes, tuning = world.sizes, []
    rates = {size: LR * (size / 8) ** RATE_POWER for size in sizes}
    errors = {size: world.rate_error * rng.standard_normal() for size in sizes}
    if world.curvature:
        for size in sizes:
            tuning.append(_search(world, size, rng))
            rates[size] = tuning[-1]["lr"]
            errors[size] = world.excess(size, rates[size])
    run = run_config(target=TARGET, until_target=True, lr=LR, epochs=40.0, seed=0)
    sweep = SweepConfig(
        run=run,
        batch_sizes=sizes,
        seeds=world.seeds,
        lr_rule="tuned" if tuning else "given",
        lr_at=8 if 8 in sizes else sizes[0],
        lrs=tuple(rates.items()),
        controls=False,
    )
    luck = world.spread * correlated(rng, len(sizes), world.seeds, world.correlation)
    planned, records = [], []
    for row, size in enumerate(sizes):
        steps = world.step(size) * np.exp(world.step_spread * SCATTERS[world.scatter](rng, world.seeds))
        for number in range(world.seeds):
            needed = E_MIN * (1 + size / world.b_crit) * math.exp(errors[size] + luck[row, number])
            diverges = size in sizes[-2:] and rng.random() < world.diverging
            planned.append(planned_run(sweep, "main", size, number))
            records.append(_run(planned[-1], needed, float(steps[number]), world.budget * E_MIN, diverges=diverges))
    return sweep_file(plan_document(sweep, dataset(train=2_000), planned, tuning=tuning), records)


def _search(world: World, size: int, rng: np.random.Generator) -> dict[str, Any]:
    """The rate of a size as `fastbs sweep --lr-rule tuned` searches it, one seed a trial."""

    def score(lr: float) -> tuple[int, float]:
        images = E_MIN * (1 + size / world.b_crit) * math.exp(world.excess(size, lr))
        return 0, images * math.exp(world.spread * rng.standard_normal())

    return search_rate(size, LR * size / 8, score).to_json()


def _run(planned: dict[str, Any], needed: float, step: float, budget: float, *, diverges: bool) -> RunRecord:
    if diverges:
        return run_record(planned, [needed / 4], [0.1], step_seconds=step, status="diverged")
    if needed > budget:
        points = [budget / 2, budget]
        return run_record(planned, points, [0.4, 0.7], step_seconds=step, status="missed")
    return run_record(planned, [0.9 * needed, 1.1 * needed, 1.2 * needed], [0.7, 0.9, 0.9], step_seconds=step)


def outcome(world: World, document: Mapping[str, Any]) -> Outcome:
    size = document["recommended"]
    if size is None:
        return Outcome(*[None] * 9)
    least, seconds = world.least, world.seconds(size)
    own = seconds * math.exp(world.excess(size, document["lr"]))

    def within(batch_size: float) -> bool:
        return world.seconds(batch_size) <= (1 + TOLERANCE) * least

    low, high = document["range"]
    return Outcome(
        regret=seconds / least - 1,
        sure=document["optimum"] and document["optimum"]["sure"],
        time_covered=_covers(document["seconds_interval"], seconds),
        own_time_covered=_covers(document["seconds_interval"], own),
        b_crit_covered=_covers(document["b_crit"]["interval"], world.b_crit),
        low_within=within(low),
        high_within=within(high),
        level=document["range_level"],
        sizes_in_range=high / low,
    )


def _covers(interval: Sequence[float | None] | None, truth: float) -> bool | None:
    if interval is None:
        return None
    low, high = interval
    return (low or 0.0) <= truth <= (math.inf if high is None else high)


def judge(world: World, sweeps: int, first_seed: int = JUDGING) -> list[Outcome]:
    found = []
    for seed in range(first_seed, first_seed + sweeps):
        own = world.drawn(seed)
        found.append(outcome(own, advise(gather([simulate(own, seed)]))))
    return found


@dataclass(frozen=True)
class Verdict:
    """Of all sweeps of a world."""

    sweeps: int
    refused: int
    median_regret: float
    p95_regret: float
    sure: float  # mean of the stated certainty
    right: float  # share within the tolerance
    time_coverage: float
    own_time_coverage: float
    b_crit_coverage: float
    low_within: float
    high_within: float
    level: float
    range_factor: float


def verdict(outcomes: Sequence[Outcome]) -> Verdict:
    told = [one for one in outcomes if one.regret is not None]
    regrets = [one.regret for one in told if one.regret is not None]

    def mean(name: str) -> float:
        values = [float(value) for one in told if (value := getattr(one, name)) is not None]
        return float(np.mean(values)) if values else math.nan

    return Verdict(
        sweeps=len(outcomes),
        refused=len(outcomes) - len(told),
        median_regret=float(np.median(regrets)) if regrets else math.nan,
        p95_regret=float(np.quantile(regrets, 0.95)) if regrets else math.nan,
        sure=mean("sure"),
        right=float(np.mean([regret <= TOLERANCE for regret in regrets])) if regrets else math.nan,
        time_coverage=mean("time_covered"),
        own_time_coverage=mean("own_time_covered"),
        b_crit_coverage=mean("b_crit_covered"),
        low_within=mean("low_within"),
        high_within=mean("high_within"),
        level=mean("level"),
        range_factor=mean("sizes_in_range"),
    )


def calibration(outcomes: Sequence[Outcome]) -> list[tuple[float, float, int, float, float]]:
    """(from, to, sweeps, mean stated certainty, share right) for each bin of stated certainty."""
    rows = []
    for low, high in zip(BINS, BINS[1:], strict=False):
        inside = [
            (one.sure, one.regret)
            for one in outcomes
            if one.sure is not None and one.regret is not None and (low <= one.sure < high or one.sure == high == 1)
        ]
        if inside:
            stated = float(np.mean([sure for sure, _ in inside]))
            right = float(np.mean([regret <= TOLERANCE for _, regret in inside]))
            rows.append((low, high, len(inside), stated, right))
    return rows


def study(sweeps: int, first_seed: int = JUDGING, chosen: Sequence[World] | None = None) -> dict[str, list[Outcome]]:
    """Outcomes by world."""
    return {world.name: judge(world, sweeps, first_seed) for world in chosen or worlds()}


def render(found: Mapping[str, Sequence[Outcome]]) -> str:
    """Markdown: a row for each world, then the calibration of all."""
    lines = [
        "| world | sweeps | refused | median regret | 95th percentile | said | right | time covers "
        "| at the rate recommended | B_crit covers | range: low end in | high end in | said | high/low |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, outcomes in found.items():
        one = verdict(outcomes)
        n = one.sweeps - one.refused
        lines.append(
            f"| {name} | {one.sweeps} | {one.refused} | {100 * one.median_regret:.1f} % | {100 * one.p95_regret:.1f} % "
            f"| {100 * one.sure:.0f} % | {_share(one.right, n)} | {_share(one.time_coverage, n)} "
            f"| {_share(one.own_time_coverage, n)} | {_share(one.b_crit_coverage, n)} | {_share(one.low_within, n)} "
            f"| {_share(one.high_within, n)} | {100 * one.level:.0f} % | {one.range_factor:.2f} |"
        )
    lines += ["", "| certainty | sweeps | said | right |", "|---|--:|--:|--:|"]
    for low, high, count, stated, right in calibration([one for own in found.values() for one in own]):
        lines.append(f"| {low:g} to {high:g} | {count} | {100 * stated:.1f} % | {_share(right, count)} |")
    return "\n".join(lines)


def _share(share: float, n: int) -> str:
    """With its Monte-Carlo error, of one standard deviation."""
    return f"{100 * share:.1f} ±{100 * monte_carlo_error(share, n):.1f} %"
