"""Is DALI faster than a DataLoader, at every batch size? `python -m fastbs.bench.loaders DIR`

Each round is a fresh process that times every loader at every batch size, in an order of its own. Loaders are compared
within a round only, so that what else the machine does falls on both sides of a ratio. Two things are timed apart: the
first batch (from making the loader, with its threads or workers, until the batch is there), and the steady rate over
the `--images` images or eight batches after it, whichever is more, across the ends of epochs. Nothing is done with the
batches. The baselines: `torch-float32` is a DataLoader that normalises in its workers, as most scripts do;
`torch-uint8` sends pixels and normalises whole batches, which is the fair one.
"""

from __future__ import annotations

import math
import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import torch
from tabulate import tabulate
from tqdm import tqdm

from fastbs import worker
from fastbs.config import Augment
from fastbs.data.batch import Batch, Loader
from fastbs.data.check import verified_dataset
from fastbs.data.dataset import Dataset
from fastbs.data.loaders import make_loader
from fastbs.data.loaders.chunk_loader import LoaderSettings
from fastbs.data.loaders.torch_loader import TorchLoader
from fastbs.data.preprocessing import LARGE
from fastbs.errors import BadInput
from fastbs.rendering.numbers import count, significant
from fastbs.results.files import SCHEMA, dump_json

NAIVE, FAIR = "torch-float32", "torch-uint8"
LOADERS = ("dali", "resident", FAIR, NAIVE, "synthetic")


def timed_round(
    dataset: dict[str, Any], batch_sizes: list[int], image_size: int, threads: int, window: int, seed: int
) -> list[dict[str, Any]]:
    """One row per batch size and loader: {"batch_size", "loader", "images_per_second", "first_batch_seconds"}.

    Where a loader cannot do this, both are None and "reason" says why. Runs in a process of its own.
    """
    images, order, rows = Dataset.from_json(dataset), random.Random(seed), []
    for batch_size in order.sample(batch_sizes, len(batch_sizes)):
        for name in order.sample(LOADERS, len(LOADERS)):
            row = {"batch_size": batch_size, "loader": name, "images_per_second": None, "first_batch_seconds": None}
            start = time.perf_counter()
            try:
                loader = open_loader(name, images, batch_size, image_size, threads, seed)
            except BadInput as refusal:
                rows.append(row | {"reason": str(refusal)})
                continue
            with loader:
                first, rate = time_batches(loader, batch_size, window, start)
            rows.append(row | {"images_per_second": rate, "first_batch_seconds": first})
    return rows


def open_loader(name: str, dataset: Dataset, batch_size: int, image_size: int, threads: int, seed: int) -> Loader:
    """A training loader of float32 batches, for the GPU if there is one."""
    settings: dict[str, Any] = {
        "batch_size": batch_size,
        "image_size": image_size,
        "augment": augmentation(image_size),
        "dtype": torch.float32,
        "device": torch.device("cuda" if torch.cuda.is_available() else "cpu"),
        "seed": seed,
        "threads": threads,
    }
    if name in (NAIVE, FAIR):
        transport: Any = name.removeprefix("torch-")
        return TorchLoader(LoaderSettings(dataset=dataset, split="train", **settings), transport)
    loader: Any = name
    return make_loader(loader, dataset, "train", **settings)


def augmentation(image_size: int) -> Augment:
    """What is usual for photographs, and for small images."""
    return "random-resized" if image_size >= LARGE else "crop-flip"


def time_batches(loader: Loader, batch_size: int, window: int, start: float) -> tuple[float, float]:
    """Seconds from `start` to the first batch; images/s over the `window` images, or eight batches, after it."""
    batches = endless(loader)
    next(batches)
    first = _now()
    steady = max(-(-window // batch_size), 8)
    for _ in range(steady):
        next(batches)
    return first - start, steady * batch_size / (_now() - first)


def endless(loader: Loader) -> Iterator[Batch]:
    while True:
        yield from loader


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """An interval that covers the true median in at least 95 % of samples, whatever the distribution.

    The k-th smallest and k-th largest value: of n values, binomial(n, 1/2) fall below the median, and k is the largest
    that leaves 2.5 % on either side. None below six values, which cannot give one.
    """
    ordered, n = sorted(values), len(values)
    k, below = 0, 0.5**n  # below: the probability that at most k values fall below the median
    while below <= 0.025:
        k += 1
        below += math.comb(n, k) * 0.5**n
    return (ordered[k - 1], ordered[n - k]) if k else None


def summary(rounds: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Medians over rounds; ratios of images/s are taken within each round and have an interval at 95 % or more."""
    by_cell: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for row in (row for rows in rounds for row in rows):
        by_cell.setdefault((row["batch_size"], row["loader"]), []).append(row)
    table = []
    for (batch_size, name), rows in sorted(by_cell.items(), key=lambda cell: (cell[0][0], LOADERS.index(cell[0][1]))):
        line: dict[str, Any] = {"batch_size": batch_size, "loader": name}
        for key in ("images_per_second", "first_batch_seconds"):
            measured = [row[key] for row in rows if row[key] is not None]
            line[key] = statistics.median(measured) if measured else None
        line |= {"ratio_to_naive": None, "ratio_to_uint8": None, "interval": {}}
        for key, base in (("ratio_to_naive", NAIVE), ("ratio_to_uint8", FAIR)):
            if line["images_per_second"] is None or name in (base, "synthetic"):
                continue
            pairs = zip(rows, by_cell[batch_size, base], strict=True)
            ratios = [row["images_per_second"] / other["images_per_second"] for row, other in pairs]
            line[key] = statistics.median(ratios)
            line["interval"][key] = median_interval(ratios)
        line["reason"] = rows[0].get("reason")
        table.append(line)
    return table


def as_table(document: dict[str, Any]) -> str:
    """The rows for people, with what was timed."""

    def ratio(row: dict[str, Any], key: str) -> str:
        low_high = row["interval"].get(key)
        spread = "" if low_high is None else " [{:.2f}, {:.2f}]".format(*low_high)
        return "" if row[key] is None else f"{row[key]:.2f}{spread}"

    lines = [
        [
            row["batch_size"],
            row["loader"],
            count(row["images_per_second"]),
            significant(row["first_batch_seconds"]),
            ratio(row, "ratio_to_naive"),
            ratio(row, "ratio_to_uint8"),
        ]
        for row in document["rows"]
    ]
    heads = ["batch", "loader", "images/s", "first batch s", f"/ {NAIVE}", f"/ {FAIR}"]
    reasons = {f"{row['loader']}: {row['reason']}" for row in document["rows"] if row["reason"]}
    return "\n".join([tabulate(lines, heads, disable_numparse=True), document["timed"], *sorted(reasons)])


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--batch-sizes", default="8,32,128,512", show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True, help="Fresh processes.")
@click.option("--image-size", type=click.IntRange(1), default=128, show_default=True, help="Side, pixels.")
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True, help="That decode; worker processes.")
@click.option("--images", type=click.IntRange(1), default=3000, show_default=True, help="In the steady window.")
@click.option("--format", type=click.Choice(["table", "json"]), default="table", show_default=True)
def main(folder: Path, batch_sizes: str, rounds: int, image_size: int, threads: int, images: int, format: str) -> None:
    """Time every loader on the training images of FOLDER, at every batch size."""
    try:
        document = measure(folder, parse_sizes(batch_sizes), rounds, image_size, threads, images)
    except BadInput as error:
        click.echo(f"fastbs: {error}", err=True)
        sys.exit(2)
    click.echo(dump_json(document) if format == "json" else as_table(document), nl=format == "table")


def parse_sizes(text: str) -> list[int]:
    if not all(part.isdigit() and int(part) for part in text.split(",")):
        raise BadInput(f"batch-sizes: {text!r} is not a list of numbers above 0; write 8,32,128")
    return [int(part) for part in text.split(",")]


def measure(
    folder: Path, batch_sizes: list[int], rounds: int, image_size: int, threads: int, window: int
) -> dict[str, Any]:
    """The whole document: what was measured, how, and a row per batch size and loader."""
    dataset = verified_dataset(folder)
    if max(batch_sizes) > len(dataset.train):
        raise BadInput(f"batch-sizes: {max(batch_sizes)} is more than the {len(dataset.train)} training images")
    arguments = {"dataset": dataset.to_json(), "batch_sizes": batch_sizes, "image_size": image_size}
    arguments |= {"threads": threads, "window": window}
    done = []
    for seed in tqdm(range(rounds), "rounds", file=sys.stderr):
        outcome = worker.call("fastbs.bench.loaders:timed_round", arguments | {"seed": seed}, threads=threads)
        if outcome.status != "ok":
            raise RuntimeError(f"round {seed} {outcome.status}: {outcome.reason}")
        done.append(outcome.value)
    return {
        "schema": SCHEMA,
        "kind": "loaders",
        "dataset": dataset.describe(),
        "timed": (
            f"{rounds} rounds, each a fresh process; float32 batches of {image_size}x{image_size}, "
            f"{augmentation(image_size)}, {threads} threads or workers; images/s after the first batch, "
            f"over {window} images or 8 batches; ratios within a round, median and interval (95 % or more)"
        ),
        "rows": summary(done),
    }


if __name__ == "__main__":
    main()
