"""How often each verdict on the post's claims is printed where it is true and where it is false.

A world says what accuracy and step time truly are for every setting; its sweeps add the luck of seeds and processes.
`judge` counts verdicts over many sweeps of one world and holds each against the world's truth. An oracle knows which
contrasts decide in its world and tests those alone, with the same runs and a paired t test: what no procedure that has
to find out by itself can beat.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastbs.analysis.arms import MAIN, RATE_CONTROLS, SAME_UPDATES, planned_updates, rate_factor
from fastbs.analysis.evidence import Setting
from fastbs.analysis.interval import Interval
from fastbs.analysis.summary import summarize
from fastbs.bench.truth import laws, records
from fastbs.bench.truth.contradictions import contradictions
from fastbs.config import SweepConfig
from fastbs.results.record import RunRecord

BASE = 0.93  # expected top1 at the smallest batch size
TRAIN, VALIDATION, EVALUATIONS = 1347, 2000, 8
TIME, ACCURACY, _, CHOICE = range(4)  # the claims, in the post's order
NOTICED = 0.05  # part of the training time: a smaller saving is none


@dataclass(frozen=True)
class Effects:
    """Doublings from the smallest batch size at its own budget: of the batch, the updates, the rate and the images."""

    batch: float
    updates: float
    rate: float
    images: float


Accuracy = Callable[[Effects], float]  # points lost (below 0) or gained


@dataclass(frozen=True)
class World:
    """`own_loss`: what the batch size itself costs at the largest size, points, whatever the rate and the updates."""

    name: str
    accuracy: Accuracy
    own_loss: float = 0.0
    right: str = "cannot tell"  # what the second claim deserves, were everything known that its controls can show
    choice: str = "true"  # what the fourth claim deserves
    rise: int = 0  # a size more accurate than the smallest
    step: laws.StepLaw = laws.Line()
    sizes: tuple[int, ...] = (1, 2, 4, 8)

    def points(self, setting: Setting) -> float:
        return self.accuracy(effects(setting, self.sizes[0]))

    def time_ratio(self, setting: Setting) -> float:
        """Training time over that of the smallest size."""
        first = Setting(MAIN, self.sizes[0])
        return self._seconds(setting) / self._seconds(first)

    def _seconds(self, setting: Setting) -> float:
        images = setting.batch_size / self.sizes[0] if setting.arm == SAME_UPDATES else 1.0
        return images * self.step(setting.batch_size) / setting.batch_size

    @property
    def settings(self) -> list[Setting]:
        main = [Setting(MAIN, size) for size in self.sizes]
        return [*main, *(Setting(arm, self.sizes[-1]) for arm in (SAME_UPDATES, *RATE_CONTROLS))]

    @property
    def falls(self) -> bool:
        """From the smallest size to the largest, and nowhere up by more than a tenth of a point."""
        points = [self.points(setting) for setting in self.settings if setting.arm == MAIN]
        rise = max(later - points[i] for i in range(len(points)) for later in points[i:])
        return points[-1] < points[0] and rise <= 0.1


def effects(setting: Setting, smallest: int) -> Effects:
    doublings = math.log2(setting.batch_size / smallest)
    if setting.arm == SAME_UPDATES:
        return Effects(doublings, 0.0, 0.0, doublings)
    scaled = setting.arm in RATE_CONTROLS
    rate = math.log2(rate_factor(setting.arm, setting.batch_size / smallest)) if scaled else 0.0
    return Effects(doublings, -doublings, rate, 0.0)


def _u_shape(e: Effects) -> float:
    return (0.0, 5.0, 6.0, 5.5, -2.0)[round(e.batch)]


OPEN, OTHER, NOT = "true, cause open", "true for another reason", "not seen here"
WORLDS: Mapping[str, World] = {
    world.name: world
    for world in (
        World("nothing", lambda e: 0.0, right=NOT, choice=NOT),
        World("updates only", lambda e: 3 * e.updates, right=OPEN),
        World("rate only", lambda e: -3 * max(0.0, e.batch - e.rate), right=OTHER, choice=OTHER),
        World("rate times updates", lambda e: 3 * min(0.0, e.updates + e.rate), right=OTHER, choice=OTHER),
        World("updates and rate", lambda e: 2 * e.updates - 1 * max(0.0, e.batch - e.rate), right=OPEN),
        World("genuine penalty", lambda e: -3 * e.batch, own_loss=9.0, right="true"),
        World("genuine 1.5 a doubling", lambda e: -1.5 * e.batch, own_loss=4.5, right="true"),
        World("genuine, images help", lambda e: -1.5 * e.batch + 1.75 * e.images, own_loss=4.5, right=OPEN),
        World("two thirds rate", lambda e: -2 * max(0.0, e.batch - e.rate) - 1 * e.batch, own_loss=3.0, right=OPEN),
        World("rate at the root", lambda e: -3 * abs(e.batch / 2 - e.rate), right=OTHER, choice=OTHER),
        World("U-shaped", _u_shape, right=NOT, choice=NOT, sizes=(1, 2, 4, 8, 16), rise=4),
        World("small fall", lambda e: -0.3 * e.batch, own_loss=0.9, choice=NOT),
        World("rises", lambda e: 1.0 * e.batch, right=NOT, choice=NOT),
        World("no faster size", lambda e: -3 * max(0.0, e.batch - e.rate), right=OTHER, choice=NOT, step=lambda b: b),
    )
}


@dataclass(frozen=True)
class Luck:
    """What differs from run to run: points of top1 and shares of the step time, standard deviations."""

    seeds: int = 5
    points: float = 0.75
    step: float = 0.03
    correlation: float = 0.0  # of a seed's luck over the sizes
    scatter: laws.Scatter = laws.normal
    growth: float = 1.0  # of the spread of top1 with every doubling of the batch
    diverged: float = 0.0  # chance of a run at the largest size

    def spread(self, setting: Setting) -> float:
        """Standard deviation of one top1, points; smallest sizes are 1."""
        return self.points * self.growth ** math.log2(setting.batch_size)

    def sd(self, one: Setting, other: Setting) -> float:
        """Of a difference by seed, points."""
        a, b = self.spread(one), self.spread(other)
        return math.sqrt(a * a + b * b - 2 * self.correlation * a * b)


def simulate(world: World, luck: Luck, rng: np.random.Generator) -> tuple[SweepConfig, list[RunRecord]]:
    """One sweep: its configuration and the records of its runs."""
    run = records.run_config(lr=1e-3, epochs=5.0)
    config = SweepConfig(run=run, batch_sizes=world.sizes, seeds=luck.seeds)
    settings = world.settings
    accuracy = laws.correlated(rng, len(settings), luck.seeds, luck.correlation, luck.scatter)
    times = laws.correlated(rng, len(settings), luck.seeds, 0.0, luck.scatter)
    ramp = 1 - np.exp(-np.arange(1, EVALUATIONS + 1) * 8.0 / EVALUATIONS)
    found = []
    for row, setting in enumerate(settings):
        updates = planned_updates(config, *setting, TRAIN)
        images = [updates * setting.batch_size * i / EVALUATIONS for i in range(1, EVALUATIONS + 1)]
        for seed in range(luck.seeds):
            last = BASE + (world.points(setting) + luck.spread(setting) * accuracy[row, seed]) / 100
            last = round(min(1.0, max(0.0, last)) * VALIDATION) / VALIDATION
            died = setting.batch_size == world.sizes[-1] and rng.random() < luck.diverged
            found.append(
                records.run_record(
                    records.planned_run(config, *setting, seed),
                    images,
                    [float(last * share / ramp[-1]) for share in ramp],
                    step_seconds=world.step(setting.batch_size) * math.exp(luck.step * times[row, seed]),
                    status="diverged" if died else "ok",
                    losses=[1.0] * EVALUATIONS,
                )
            )
    return config, found


def summary_of(config: SweepConfig, runs: list[RunRecord]) -> dict[str, Any]:
    return summarize(
        config=config.to_json(),
        dataset=records.dataset(TRAIN, VALIDATION),
        machine=records.MACHINE,
        runs=runs,
        planned=[(run.arm, run.batch_size, run.seed) for run in runs],
    )


@dataclass
class Count:
    """Over the sweeps of one world; "verdict of a claim" counts are by claim number and verdict."""

    sweeps: int = 0
    said: Counter[tuple[int, str]] = field(default_factory=Counter)
    false: Counter[tuple[int, str]] = field(default_factory=Counter)
    excluded: int = 0  # sweeps that exclude a loss beyond a number
    excluded_falsely: int = 0
    oracle: Counter[int] = field(default_factory=Counter)  # sweeps in which it decides, by claim
    right: Counter[int] = field(default_factory=Counter)  # of those, the ones that print the right verdict
    intervals: int = 0  # differences from the smallest size that are printed; those that hold the truth: "settings"
    named: int = 0  # sweeps whose fourth claim names a setting
    covered: Counter[str] = field(default_factory=Counter)  # of those, whose printed interval holds the truth
    contradictions: list[str] = field(default_factory=list)


def judge(world: World, luck: Luck, sweeps: int, seed: int) -> Count:
    count, rng = Count(), np.random.default_rng([seed, len(world.name), *map(ord, world.name[:4])])
    for _ in range(sweeps):
        config, runs = simulate(world, luck, rng)
        document = summary_of(config, runs)
        count.sweeps += 1
        for number in (ACCURACY, CHOICE):
            finding = document["findings"][number]
            verdict = finding["verdict"]
            count.said[number, verdict] += 1
            count.false[number, verdict] += is_false(world, number, finding)
        _exclusion(world, document, count)
        _differences(world, document, count)
        _named(world, document, count)
        for number, decides in oracles(world, luck, runs).items():
            count.oracle[number] += decides
            right = world.right if number == ACCURACY else world.choice
            count.right[number] += decides and document["findings"][number]["verdict"] == right
        count.contradictions += contradictions(document)
    return count


def is_false(world: World, number: int, finding: Mapping[str, Any]) -> bool:
    return (_accuracy_is_false if number == ACCURACY else _choice_is_false)(world, finding)


def _accuracy_is_false(world: World, finding: Mapping[str, Any]) -> bool:
    """true: it falls, and the size itself costs something. another reason: it falls, and the size costs under a point.

    cause open: it falls. not seen here: it does not, or by less than a point per doubling.
    """
    match finding["verdict"]:
        case "true":
            return not world.falls or world.own_loss <= 0
        case "true for another reason":
            return not world.falls or world.own_loss >= 1.0
        case "true, cause open":
            return not world.falls
        case "not seen here":
            doublings = math.log2(world.sizes[-1] / world.sizes[0])
            return world.falls and -world.points(Setting(MAIN, world.sizes[-1])) > doublings
    return False


def _choice_is_false(world: World, finding: Mapping[str, Any]) -> bool:
    """true: whatever is faster loses a point or more. otherwise, the setting that is named is faster and does not.

    Where nothing is named, not seen here says that nothing is faster.
    """
    faster = [s for s in world.settings if world.time_ratio(s) < 1 - NOTICED]
    good = [s for s in faster if world.points(s) > -1.0]
    named = finding["numbers"]["fastest_as_good"]
    match finding["verdict"]:
        case "true":
            return bool(good) or not faster
        case "true for another reason" | "not seen here" if named:
            return Setting(named["arm"], named["batch_size"]) not in good
        case "not seen here":
            return bool(faster)
    return False


def _exclusion(world: World, document: Mapping[str, Any], count: Count) -> None:
    excluded = document["findings"][ACCURACY]["numbers"]["excluded_loss"]
    if excluded is not None:
        count.excluded += 1
        count.excluded_falsely += world.own_loss / 100 > excluded + 1e-9


def _differences(world: World, document: Mapping[str, Any], count: Count) -> None:
    """Of every setting against the smallest: how often the interval holds the truth."""
    for option in document["findings"][CHOICE]["numbers"]["options"]:
        if option["difference_interval"]:
            low, high = option["difference_interval"]
            truth = world.points(Setting(option["arm"], option["batch_size"])) / 100
            count.covered["settings"] += low - 1e-9 <= truth <= high + 1e-9
            count.intervals += 1


def _named(world: World, document: Mapping[str, Any], count: Count) -> None:
    numbers = document["findings"][CHOICE]["numbers"]
    if not (named := numbers["fastest_as_good"]):
        return
    setting = Setting(named["arm"], named["batch_size"])
    count.named += 1
    for name, truth in (("difference", world.points(setting) / 100), ("time_ratio", world.time_ratio(setting))):
        low, high = numbers[f"{name}_interval"]
        count.covered[name] += low <= truth <= high


def oracles(world: World, luck: Luck, runs: list[RunRecord]) -> dict[int, bool]:
    """Whether tests of the contrasts that matter in this world prove what is true there, by claim.

    The oracle knows which contrasts matter, and the spread of a difference by seed, so that its tests are normal ones.
    """
    top1: dict[Setting, dict[int, float]] = {}
    for run in runs:
        if run.status == "ok":
            top1.setdefault(Setting(run.arm, run.batch_size), {})[run.seed] = run.last.top1
    smallest, largest = Setting(MAIN, world.sizes[0]), Setting(MAIN, world.sizes[-1])
    same, root, scaled = world.settings[-3:]

    def difference(one: Setting, other: Setting = smallest) -> Interval:
        seeds = top1.get(one, {}).keys() & top1.get(other, {}).keys()
        return known([top1[one][seed] - top1[other][seed] for seed in seeds], luck.sd(one, other))

    def known(values: list[float], sd: float) -> Interval:
        if not values:
            return Interval(-math.inf, 0.0, math.inf, 0)
        mean, half = math.fsum(values) / len(values), 1.96 * sd / 100 / math.sqrt(len(values))
        return Interval(mean - half, mean, mean + half, len(values))

    four = [top1.get(setting, {}) for setting in (same, scaled, largest, smallest)]
    seeds = set.intersection(*map(set, four))
    both = [four[0][seed] + four[1][seed] - four[2][seed] - four[3][seed] for seed in seeds]
    added = known(both, math.hypot(luck.sd(same, scaled), luck.sd(largest, smallest)))
    lost = difference(largest)
    faster = [s for s in world.settings if world.time_ratio(s) < 1 - NOTICED]
    good = [s for s in faster if world.points(s) > -1.0]
    doublings = math.log2(world.sizes[-1] / world.sizes[0])
    cure = max((root, scaled), key=world.points)  # the rate that takes the loss away
    match world.right:
        case "true":
            left = (lost, difference(same), difference(root), difference(scaled), added)
            second = all(found.high < 0 for found in left)
        case "true for another reason":
            second = lost.high < 0 and difference(cure).low > -0.01
        case "true, cause open":
            second = lost.high < 0
        case "not seen here" if world.rise:
            second = difference(Setting(MAIN, world.rise)).low > 0
        case "not seen here":
            second = lost.low > -0.01 * doublings
        case _:
            second = False
    match world.choice:
        case "true":
            fourth = all(difference(setting).high < -0.01 for setting in faster)
        case "true for another reason":
            fourth = lost.high < 0 and difference(cure).low > -0.01
        case "not seen here":
            fourth = any(difference(setting).low > -0.01 for setting in good)
        case _:
            fourth = False
    return {ACCURACY: second, CHOICE: fourth}


CELLS: Mapping[str, Luck] = {
    "2 seeds, .4": Luck(2, 0.4),
    "3 seeds, .4": Luck(3, 0.4),
    "3 seeds, 1": Luck(3, 1.0),
    "5 seeds, .4": Luck(5, 0.4),
    "5 seeds, .75": Luck(5, 0.75),
    "5 seeds, 1.5": Luck(5, 1.5),
    "3 seeds, .4, growing": Luck(3, 0.4, growth=1.5),
    "5 seeds, .4, growing": Luck(5, 0.4, growth=1.8),
    "3 seeds, .75, t3, shared": Luck(3, 0.75, correlation=0.6, scatter=laws.student_t3),
    "5 seeds, .75, bimodal, shared": Luck(5, 0.75, correlation=0.6, scatter=laws.bimodal),
    "5 seeds, .75, steps drift": Luck(5, 0.75, step=0.1, scatter=laws.drift),
    "5 seeds, .75, 3 in 10 diverge": Luck(5, 0.75, diverged=0.3),
}
TUNING, JUDGING = 1, 20_261_201  # seeds; what was tried while the rules were written is not what judges them


def study(sweeps: int, seed: int = JUDGING, worlds: Iterable[str] = WORLDS) -> Iterator[tuple[str, str, Count]]:
    """World, cell and what was counted in `sweeps` sweeps of them."""
    for world in worlds:
        for cell, luck in CELLS.items():
            yield world, cell, judge(WORLDS[world], luck, sweeps, seed)


def report(counted: Iterable[tuple[str, str, Count]]) -> str:
    """Markdown: by world the worst false share of each verdict, the right ones beside the oracle's, and coverage."""
    by_world: dict[str, list[tuple[str, Count]]] = {}
    for world, cell, count in counted:
        by_world.setdefault(world, []).append((cell, count))
    lines = [_row(["world", *HEADS]), _row(["---"] * (1 + len(HEADS)))]
    lines += [_row([world, *_cells([count for _, count in found])]) for world, found in by_world.items()]
    lines += ["", _row(["world", "cell", "claim", "verdicts, % of sweeps (of them false)"]), _row(["---"] * 4)]
    for world, found in by_world.items():
        for cell, count in found:
            lines += [_row([world, cell, str(1 + claim), _said(count, claim)]) for claim in (ACCURACY, CHOICE)]
    return "\n".join(lines)


HEADS = (
    "sweeps",
    "TRUE or ANOTHER REASON false, claim 2: worst cell",
    "CAUSE OPEN false: worst",
    "NOT SEEN false: worst",
    "right beside oracle, claim 2",
    "TRUE or ANOTHER REASON false, claim 4: worst",
    "right beside oracle, claim 4",
    "exclusions false",
    "intervals that hold",
    "contradictions",
)
DECIDED = ("true", "true for another reason")


def _cells(counts: list[Count]) -> list[str]:
    def worst(claim: int, *verdicts: str) -> str:
        shares = [(sum(count.false[claim, verdict] for verdict in verdicts) / count.sweeps, count) for count in counts]
        share, count = max(shares, key=lambda pair: pair[0])
        return _percent(share, count.sweeps)

    def beside(claim: int) -> str:
        right, oracle = sum(count.right[claim] for count in counts), sum(count.oracle[claim] for count in counts)
        return f"{right:,} of {oracle:,} ({_percent(right / oracle, oracle)})" if oracle else "-"

    intervals, held = sum(count.intervals for count in counts), sum(count.covered["settings"] for count in counts)
    excluded = sum(count.excluded for count in counts)
    return [
        f"{sum(count.sweeps for count in counts):,}",
        worst(ACCURACY, *DECIDED),
        worst(ACCURACY, "true, cause open"),
        worst(ACCURACY, "not seen here"),
        beside(ACCURACY),
        worst(CHOICE, *DECIDED),
        beside(CHOICE),
        f"{sum(count.excluded_falsely for count in counts):,} of {excluded:,}",
        _percent(held / intervals, intervals) if intervals else "-",
        str(sum(len(count.contradictions) for count in counts)),
    ]


def _said(count: Count, claim: int) -> str:
    found = sorted((n, verdict) for (number, verdict), n in count.said.items() if number == claim)
    return ", ".join(
        f"{verdict} {100 * n / count.sweeps:.0f}"
        + (f" ({100 * false / count.sweeps:.1f} false)" if (false := count.false[claim, verdict]) else "")
        for n, verdict in reversed(found)
    )


def _percent(share: float, n: int) -> str:
    """With its Monte-Carlo standard error."""
    return f"{100 * share:.1f} ±{100 * laws.monte_carlo_error(share, n):.1f} %"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
