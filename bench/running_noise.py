"""The running noise scale beside the one of draws at frozen weights, over one training.

    python -m fastbs.bench.running_noise digits --batch-size 16 --epochs 20

`fastbs data make digits digits` makes the images. The training is SGD with momentum, without weight decay (which is
part of the average but not of the draws), at one rate. The running estimate is an upper end, and "drift" where the
weights move too fast for it: see `fastbs.analysis.running_noise_scale`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from torch import nn

from fastbs.analysis.noise_scale import noise_scale
from fastbs.analysis.running_noise_scale import running_noise_scale, squared_average
from fastbs.bench.training_step import endless
from fastbs.config import RunConfig
from fastbs.data.check import verified_dataset
from fastbs.kernels import FusedSGD
from fastbs.models import norm_of
from fastbs.results.files import dump_json
from fastbs.training.noise_probe import NoiseProbe
from fastbs.training.set_up import make_run_loader, make_step, prepare_process

DRAWS = 24  # at frozen weights, in each part of the training
Row = dict[str, Any]


def compare(run: RunConfig, parts: int) -> Iterator[Row]:
    """A row per part of the training: both noise scales in images with their intervals, and |G|^2; null is infinite."""
    device = prepare_process(run)
    dataset = verified_dataset(Path(run.data))
    step = make_step(run, len(dataset.classes), device)
    optimizer = _measuring(step.model, run)
    step.optimizer = optimizer
    probe = NoiseProbe(run, dataset, device, norm=norm_of(step.model))
    loader = make_run_loader(run, dataset, "train", device)
    batches = endless(loader)
    updates = int(run.epochs * (len(dataset.train) // run.batch_size)) // parts
    for part in range(parts):
        norms, losses, draws = [], [], []
        for update in range(updates):
            losses.append(float(step(next(batches))))
            assert optimizer.statistics is not None
            norms.append(optimizer.statistics.tolist())
            if update % (updates // DRAWS) == updates // DRAWS // 2:
                images = (part * updates + update) * run.batch_size
                draws.append(probe.draw(step, images=images, updates=part * updates + update))
        gradients, buffers = zip(*norms, strict=True)
        running = running_noise_scale(
            gradients,
            [squared_average(square, run.momentum) for square in buffers],
            beta=run.momentum,
            batch_size=run.batch_size,
            first_update=part * updates + 1,
        )
        frozen = noise_scale([draw for draw in draws if draw is not None])
        yield {
            "images": (part + 1) * updates * run.batch_size,
            "loss": math.fsum(losses) / len(losses),
            "running": _finite(running.images),
            "running_interval": [running.low, _finite(running.high)],
            "running_gradient_squared": running.gradient_squared,
            "drift": running.drift,
            "frozen": _finite(frozen.images),
            "frozen_interval": [frozen.low, _finite(frozen.high)],
            "frozen_gradient_squared": frozen.gradient_squared,
        }


def _measuring(model: nn.Module, run: RunConfig) -> FusedSGD:
    return FusedSGD(model.parameters(), lr=run.lr, momentum=run.momentum, nesterov=True, statistics=True)


@click.command()
@click.argument("data", type=click.Path(exists=True))
@click.option("--batch-size", default=16, show_default=True)
@click.option("--epochs", default=20.0, show_default=True)
@click.option("--lr", default=0.002, show_default=True)
@click.option("--image-size", default=32, show_default=True)
@click.option("--parts", default=8, show_default=True, help="Of the training, a row each.")
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write the rows there.")
def main(
    data: str, batch_size: int, epochs: float, lr: float, image_size: int, parts: int, seed: int, file: Path | None
) -> None:
    """Print both noise scales over a training on the images in DATA."""
    run = RunConfig(
        data=data, batch_size=batch_size, epochs=epochs, lr=lr, image_size=image_size, seed=seed, weight_decay=0.0,
        precision="fp32", threads=1, loader_threads=1, augment="none",
    )  # fmt: skip
    rows = []
    click.echo(f"{'images':>8} {'loss':>7}  {'running, at most':>24}  {'frozen':>24}   |G|^2 running, frozen")
    for row in compare(run, parts):
        rows.append(row)
        running, frozen = ("drift" if row["drift"] else _interval(row, "running")), _interval(row, "frozen")
        lengths = f"{row['running_gradient_squared']:.3g}, {row['frozen_gradient_squared']:.3g}"
        click.echo(f"{row['images']:>8.0f} {row['loss']:>7.3f}  {running:>24}  {frozen:>24}   {lengths}")
    if file:
        file.write_text(dump_json(rows))


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _interval(row: Row, name: str) -> str:
    middle, low, high = ("inf" if v is None else f"{v:.3g}" for v in (row[name], *row[f"{name}_interval"]))
    return f"{middle} [{low}, {high}]"


if __name__ == "__main__":
    main()
