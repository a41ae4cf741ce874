"""How far the noise scale is off with BatchNorm and on few images, as it was estimated before and as it is now.

    python -m fastbs.bench.truth.noise digits

`fastbs data make digits digits` makes the images. First part: net `small` on a CPU, truth from EPOCHS epochs of whole
passes at frozen weights, estimates from DRAWS draws. Second part: linear regression, whose gradients are all known;
TRIALS estimates of ten draws each. "Before": micro-batches of an eighth of a pass whatever the norm, and no account of
images that an epoch does not repeat.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import click
import numpy as np
import torch

from fastbs.analysis.noise_scale import NoiseScale, noise_scale
from fastbs.bench.training_step import endless
from fastbs.bench.truth.laws import Array
from fastbs.config import RunConfig
from fastbs.data.check import verified_dataset
from fastbs.data.dataset import Dataset
from fastbs.rendering.numbers import significant, with_interval
from fastbs.results.record import NoiseDraw
from fastbs.training.noise_probe import NoiseProbe
from fastbs.training.set_up import make_run_loader, make_step, prepare_process
from fastbs.training.step import Step

EPOCHS, DRAWS, TRIALS = 40, 20, 400
UPDATES = (20, 100, 400)  # after which the weights are frozen


def with_net(data: str, norm: str, batch_size: int) -> Iterator[tuple[int, float, float, NoiseScale, NoiseScale]]:
    """Updates, truth, truth of micro-batches by themselves, estimate before and now."""
    run = RunConfig(
        data=data, norm=norm, batch_size=batch_size, lr=0.02, image_size=16, precision="fp32", threads=1,
        loader_threads=1, augment="none", loader="resident",
    )  # fmt: skip
    device, dataset = prepare_process(run), verified_dataset(Path(data))
    step = make_step(run, len(dataset.classes), device)
    batches, done = endless(make_run_loader(run, dataset, "train", device)), 0
    for updates in UPDATES:
        for batch in islice(batches, updates - done):
            step(batch)
        done = updates
        found = [
            noise_scale([_known(draw, seen) for draw in _draws(NoiseProbe(run, dataset, device, norm=seen), step)])
            for seen in ("none", norm)
        ]
        smaller = run.replace(batch_size=NoiseProbe(run, dataset, device).micro_batch)
        yield updates, _truth(step, run, dataset), _truth(step, smaller, dataset), found[0], found[1]


def _draws(probe: NoiseProbe, step: Step) -> list[NoiseDraw]:
    drawn = [probe.draw(step, images=0, updates=0) for _ in range(DRAWS)]
    return [draw for draw in drawn if draw is not None]


def _known(draw: NoiseDraw, seen: str) -> NoiseDraw:
    """As it was recorded before, where the norm was not looked at."""
    return dataclasses.replace(draw, train_images=None, epoch_parts=()) if seen == "none" else draw


def _truth(step: Step, run: RunConfig, dataset: Dataset) -> float:
    """From whole passes: their variance, and the square of their mean, which is that of nearly all images."""
    loader = make_run_loader(run.replace(seed=77), dataset, "train", torch.device("cpu"))
    weights, images = list(step.model.parameters()), len(dataset.train)
    with step.leaving_no_trace():
        passes = [
            torch.cat([g.flatten() for g in torch.autograd.grad(step.net_and_loss(*batch)[0], weights)])
            for batch in islice(endless(loader), EPOCHS * len(loader))
        ]
    gradients = torch.stack(passes).double()
    trace = float(gradients.var(0).sum()) / (1 / run.batch_size - 1 / images)
    return trace / float(gradients.mean(0).square().sum())


def on_few_images(images: int, scale: float) -> tuple[list[NoiseScale], list[NoiseScale]]:
    """Estimates before and now from ten draws of eight micro-batches of 4, where the truth is `scale`."""
    rng = np.random.default_rng((images, round(scale)))
    gradients = rng.standard_normal((images, 50))
    gradients -= gradients.mean(axis=0)
    gradients += math.sqrt(gradients.var(axis=0, ddof=1).sum() / scale / 50)
    now = [list(_epochs_cut_in_draws(rng, gradients)) for _ in range(TRIALS)]
    before = [[_known(draw, "none") for draw in draws] for draws in now]
    return [noise_scale(draws) for draws in before], [noise_scale(draws) for draws in now]


def _epochs_cut_in_draws(rng: np.random.Generator, gradients: Array) -> Iterator[NoiseDraw]:
    images, size, parts, draws = len(gradients), 4, 8, 10
    per_epoch = images // size
    order = [rng.permutation(images)[: per_epoch * size] for _ in range(-(-draws * parts // per_epoch))]
    means = gradients[np.concatenate(order)].reshape(-1, size, gradients.shape[1]).mean(axis=1)
    for first in range(0, draws * parts, parts):
        own, epochs = means[first : first + parts], [at // per_epoch for at in range(first, first + parts)]
        yield NoiseDraw(
            images=0,
            updates=0,
            micro_batch=size,
            squared_norms=tuple(map(float, (own**2).sum(axis=1))),
            squared_norm_of_mean=float((own.mean(axis=0) ** 2).sum()),
            seconds=0.0,
            train_images=images,
            epoch_parts=tuple(epochs.count(epoch) for epoch in sorted(set(epochs))),
        )


@click.command()
@click.argument("data", type=click.Path(exists=True))
@click.option("--batch-size", default=128, show_default=True)
def main(data: str, batch_size: int) -> None:
    """Print both parts as tables in Markdown."""
    click.echo("| norm | updates | truth | of micro-batches | before | now |\n|---|--:|--:|--:|--:|--:|")
    for norm in ("batch", "group"):
        for updates, truth, micro, before, now in with_net(data, norm, batch_size):
            cells = [norm, str(updates), significant(truth), significant(micro), _text(before), _text(now)]
            click.echo(f"| {' | '.join(cells)} |")
    click.echo("\n| images | truth | before: median, held | now: median, held |\n|--:|--:|--:|--:|")
    for images in (200, 1000):
        for share in (0.05, 0.25, 1.0):
            scale = share * images
            click.echo(
                f"| {images:,} | {scale:g} | {' | '.join(_held(f, scale) for f in on_few_images(images, scale))} |"
            )


def _text(found: NoiseScale) -> str:
    if found.lower_bound_only:
        return f"above {found.low:,.0f}" if found.low else "open"
    return with_interval(found.images, [found.low, found.high])


def _held(found: list[NoiseScale], truth: float) -> str:
    held = sum(one.low <= truth <= one.high for one in found) / len(found)
    middle = float(np.median([one.images for one in found]))
    return f"{'infinite' if math.isinf(middle) else significant(middle)}, {100 * held:.0f} %"


if __name__ == "__main__":
    main()
