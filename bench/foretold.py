"""How good an advice from a pilot is: made before a grid of trainings, scored by it afterwards.

    python -m fastbs.bench.foretold advise IMAGES OUT     # minutes; OUT/*.json are the advices
    python -m fastbs.bench.foretold grid IMAGES OUT       # the trainings, which take ten times as long and more
    python -m fastbs.bench.foretold score OUT

Claim: on photographs, the batch size that a pilot of at most a tenth of the grid's time recommends is within 10 % of
the fastest of the grid. Three data sets (folders `sign-digits`, `scenes`, `cifar` in IMAGES), two nets each, five batch
sizes, five seeds; one thread of a CPU; the interval is a bootstrap over whole seeds.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from torch import nn

from fastbs.analysis.hit import find_hit
from fastbs.results.measurement_files import read_measurements

SIZES, SEEDS = (8, 16, 32, 64, 128), 5
BENCHED = (8, 32, 128)  # sizes whose steps the pilot times
COMMON = "--image-size 64 --precision fp32 --threads 1 --loader resident --lr-rule linear --lr-at 32 --epochs 40"
RESAMPLES = 2000


class Setup(NamedTuple):
    images: str
    net: str
    lr: float  # at batch size 32
    target: float
    eval_images: int
    augment: str

    @property
    def name(self) -> str:
        return f"{self.images}-{self.net.rpartition(':')[2]}"

    def words(self, images: Path) -> list[str]:
        own = f"--model {self.net} --lr {self.lr:g} --target {self.target:g} --eval-images {self.eval_images}"
        return [str(images / self.images), *own.split(), "--augment", self.augment, *COMMON.split()]


PLAIN = "fastbs.bench.foretold:plain"
SETUPS = (
    Setup("sign-digits", "small", 0.02, 0.88, 256, "none"),
    Setup("sign-digits", PLAIN, 0.01, 0.88, 256, "none"),
    Setup("scenes", "small", 0.02, 0.6, 256, "crop-flip"),
    Setup("scenes", PLAIN, 0.01, 0.65, 256, "crop-flip"),
    Setup("cifar", "small", 0.02, 0.38, 512, "crop-flip"),
    Setup("cifar", PLAIN, 0.01, 0.42, 512, "crop-flip"),
)


def plain(classes: int, image_size: int) -> nn.Module:
    """Three convolutions and a linear layer, without normalisation."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * (image_size // 8) ** 2, classes))


@click.group(help=__doc__)
def main() -> None:
    """Three steps, in this order."""


@main.command()
@click.argument("images", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--budget", default="80s", show_default=True)
@click.option("--only", default="", help="Setups whose name contains this.")
def advise(images: Path, out: Path, budget: str, only: str) -> None:
    """Make the pilots and their advices."""
    out.mkdir(parents=True, exist_ok=True)
    for setup in (setup for setup in SETUPS if only in setup.name):
        pilot = ["--budget", budget, "--batch-sizes", ",".join(map(str, BENCHED)), "--pilot", str(out / setup.name)]
        seconds = _run("advise", *setup.words(images), *pilot, "--out", str(out / f"{setup.name}.json"))
        (out / f"{setup.name}.seconds").write_text(f"{seconds:.1f}")


@main.command()
@click.argument("images", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--only", default="", help="Setups whose name contains this.")
def grid(images: Path, out: Path, only: str) -> None:
    """Train every size with every seed."""
    for setup in (setup for setup in SETUPS if only in setup.name):
        sizes = ["--batch-sizes", ",".join(map(str, SIZES)), "--seeds", str(SEEDS), "--until-target", "--no-controls"]
        seconds = _run("sweep", *setup.words(images), *sizes, "--out", str(out / "grids" / setup.name))
        (out / "grids" / f"{setup.name}.seconds").write_text(f"{seconds:.1f}")


def _run(*words: str) -> float:
    """Wall seconds that the verb took; its output goes where ours does."""
    begin = time.monotonic()
    subprocess.run([sys.executable, "-m", "fastbs", *words], check=True)
    return time.monotonic() - begin


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
def score(out: Path) -> None:
    """Print a row of Markdown for every setup whose grid is there."""
    click.echo("| setup | advised | within 5 % | fastest of the grid | regret | pilot s | grid s |")
    click.echo("|---|--:|--:|--:|--:|--:|--:|")
    for setup in SETUPS:
        folder = out / "grids" / setup.name
        if not folder.with_suffix(".seconds").exists():
            continue
        advice = json.loads((out / f"{setup.name}.json").read_text())
        times = times_of(folder, setup.target)
        regret, low, high = regret_of(advice["recommended"], times)
        fastest = min(times, key=lambda size: _typical(times[size]))
        spent = [float(file.with_suffix(".seconds").read_text()) for file in (out / setup.name, folder)]
        bracket = f"{100 * regret:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
        cells = [setup.name, advice["recommended"], advice["range"], fastest, bracket, *(f"{s:.0f}" for s in spent)]
        click.echo(f"| {' | '.join(map(str, cells))} |")


Times = Mapping[int, Sequence[float]]  # training seconds to the target by batch size, one a seed; inf: missed


def times_of(folder: Path, target: float) -> dict[int, list[float]]:
    """Of the main runs of a grid that trained to their end."""
    (file,) = read_measurements([folder])
    found: dict[int, list[float]] = {}
    for run in sorted(file.runs, key=lambda run: run.seed):
        hit = find_hit(run.evaluations, target, 2) if run.status == "ok" else None
        found.setdefault(run.batch_size, []).append(hit.train_seconds if hit else math.inf)
    return found


def regret_of(advised: float, times: Times) -> tuple[float, float, float]:
    """Time of the advised size over the least - 1, and its 95 % interval over resampled seeds.

    A size that the grid lacks is read from a line in logarithms between its neighbours, at the ends the nearest.
    """
    seeds = min(map(len, times.values()))
    rng, drawn = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        chosen = rng.integers(seeds, size=seeds)
        drawn.append(_regret(advised, {size: [own[seed] for seed in chosen] for size, own in times.items()}))
    low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
    return _regret(advised, times), float(low), float(high)


def _regret(advised: float, times: Times) -> float:
    typical = {size: _typical(own) for size, own in times.items()}
    known = {size: value for size, value in typical.items() if math.isfinite(value)}
    if not known:
        return math.nan
    if advised in typical and advised not in known:
        return math.inf
    own = math.exp(float(np.interp(math.log(advised), np.log(list(known)), np.log(list(known.values())))))
    return own / min(known.values()) - 1


def _typical(seconds: Sequence[float]) -> float:
    """Geometric mean; infinite where a run missed."""
    return math.exp(math.fsum(map(math.log, seconds)) / len(seconds)) if all(map(math.isfinite, seconds)) else math.inf


if __name__ == "__main__":
    main()
