"""How near does augmentation of resident images come to the memory's speed? `python -m fastbs.bench.augmentation`

A batch is gathered, cropped, mirrored, normalised and converted by `fastbs.kernels.augment`: our kernel on a GPU, the
reference elsewhere. The stream beside it converts as many bytes to as many numbers in one operator and one process.
"""

from __future__ import annotations

import itertools
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import torch
from tabulate import tabulate
from tqdm import tqdm

from fastbs import worker
from fastbs.analysis.measured_cell import bounds, estimate, geometric
from fastbs.analysis.paired import paired_ratio
from fastbs.bench.plan import BenchPlan
from fastbs.bench.setting import Setting, open_setting
from fastbs.config import parse_batch_sizes
from fastbs.data.augmentation import PAD
from fastbs.data.preprocessing import MEAN, STD
from fastbs.errors import BadInput
from fastbs.kernels.augment import augment
from fastbs.kernels.inputs import images_and_crops
from fastbs.measurement.steady import measure_steady
from fastbs.profiling.operators import count_operators
from fastbs.profiling.phases import enqueue_seconds
from fastbs.rendering.numbers import NOTHING, count, percent, significant
from fastbs.results.files import SCHEMA, write_json

FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
BATCHES = 16  # kept as images; a card's cache holds fewer


def measure_augmentation(
    batch_size: int, image_size: int, number_format: str, device: str, threads: int, blocks: int, block_seconds: float
) -> dict[str, Any]:
    """A sample: medians over blocks of seconds per batch ("seconds") and per `stream` ("stream_seconds").

    "bytes" is what a batch must read and write: a byte and a number per channel and pixel. "launches" and
    "host_seconds" are those of `measure_update`.
    """
    place, dtype = torch.device(device), FORMATS[number_format]
    torch.set_num_threads(threads)
    kept = BATCHES * batch_size
    images, *crops = images_and_crops(kept, kept, (image_size, image_size), PAD, place)
    turns = itertools.cycle([[part[at : at + batch_size] for part in crops] for at in range(0, kept, batch_size)])

    def batch() -> torch.Tensor:
        return augment(images, *next(turns), pad=PAD, mean=MEAN, std=STD, dtype=dtype)

    timing: dict[str, Any] = {"blocks": blocks, "block_seconds": block_seconds}
    return {
        "seconds": measure_steady(batch, place, **timing).seconds,
        "stream_seconds": measure_steady(stream(images, batch_size, dtype), place, **timing).seconds,
        "bytes": images[:batch_size].numel() * (1 + dtype.itemsize),
        "launches": count_operators(batch, place),
        "host_seconds": enqueue_seconds(batch, place),
    }


def stream(images: torch.Tensor, batch_size: int, dtype: torch.dtype) -> Callable[[], torch.Tensor]:
    """Converts one batch of `images` after the other, as they lie: one read and one write of the same sizes."""
    parts = itertools.cycle(images.split(batch_size))
    return lambda: next(parts).to(dtype)


def rows(setting: Setting, image_sizes: Sequence[int], number_format: str) -> Iterator[dict[str, Any]]:
    """A row per image size and batch size, over `processes` fresh processes each, in rounds."""
    plan = setting.plan
    cells = list(itertools.product(image_sizes, plan.batch_sizes))
    samples: list[dict[int, dict[str, Any]]] = [{} for _ in cells]
    turns = list(itertools.product(range(plan.processes), range(len(cells))))
    for number, cell in tqdm(turns, "processes", file=sys.stderr, disable=not sys.stderr.isatty()):
        image_size, batch_size = cells[cell]
        arguments = {"batch_size": batch_size, "image_size": image_size, "number_format": number_format}
        arguments |= {"device": setting.device, "threads": setting.threads}
        arguments |= {"blocks": plan.blocks, "block_seconds": plan.block_seconds}
        outcome = worker.call("fastbs.bench.augmentation:measure_augmentation", arguments, threads=setting.threads)
        if outcome.status != "ok":
            raise RuntimeError(f"augmentation {outcome.status}: {outcome.reason}")
        samples[cell][number] = outcome.value
    for (image_size, batch_size), of_cell in zip(cells, samples, strict=True):
        yield {"image_size": image_size, "batch_size": batch_size, "format": number_format} | _row(of_cell)


def _row(samples: dict[int, dict[str, Any]]) -> dict[str, Any]:
    one = next(iter(samples.values()))
    taken, streamed = ({n: s[name] for n, s in samples.items()} for name in ("seconds", "stream_seconds"))
    time, share = geometric(taken), paired_ratio(streamed, taken)
    assert time is not None  # there is at least one process
    hosts = [sample["host_seconds"] for sample in samples.values() if sample["host_seconds"] is not None]
    return {
        "us": 1e6 * time.estimate,
        "us_interval": bounds(time, 1e6),
        "gb_per_second": one["bytes"] / time.estimate / 1e9,
        "stream_share": estimate(share),
        "stream_share_interval": bounds(share),
        "launches": one["launches"],
        "host_us": 1e6 * statistics.median(hosts) if hosts else None,
        "processes": len(samples),
    }


def as_table(found: Sequence[dict[str, Any]]) -> str:
    def cells(row: dict[str, Any]) -> list[str]:
        low, high = row["us_interval"] or (None, None)
        spread = "" if low is None else f" [{significant(low)}, {significant(high)}]"
        images = [f"{row['image_size']} px", count(row["batch_size"]), row["format"]]
        share = [significant(row["gb_per_second"]), percent(row["stream_share"])]
        host = NOTHING if row["host_us"] is None else significant(row["host_us"])
        return [*images, significant(row["us"]) + spread, *share, count(row["launches"]), host]

    names = ["images", "batch", "format", "us", "GB/s", "of stream", "launches", "host us"]
    return tabulate([cells(row) for row in found], names, disable_numparse=True)


@click.command()
@click.option("--batch-sizes", type=parse_batch_sizes, default="128", show_default=True)
@click.option("--image-sizes", type=parse_batch_sizes, default="32,224", show_default=True, help="Sides, pixels.")
@click.option("--format", "number_format", type=click.Choice(list(FORMATS)), default="bf16", show_default=True)
@click.option("--processes", type=click.IntRange(1), default=3, show_default=True, help="Fresh ones per row.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]))
@click.option("--threads", type=click.IntRange(1))
@click.option("--blocks", type=click.IntRange(1), default=5, show_default=True)
@click.option("--block-seconds", type=float, default=0.2, show_default=True)
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write rows, settings and machine there.")
def main(image_sizes: tuple[int, ...], number_format: str, file: Path | None, **options: Any) -> None:
    """Time augmentation against a stream of the same bytes."""
    try:
        plan = BenchPlan(precisions=("fp32",), **options)
        with open_setting(plan) as setting:
            found = list(rows(setting, image_sizes, number_format))
            document: dict[str, Any] = {"schema": SCHEMA, "kind": "augmentation", "rows": found}
            document |= {"settings": setting.describe(), "machine": setting.machine}
    except BadInput as error:
        click.echo(f"fastbs: {error}", err=True)
        sys.exit(2)
    click.echo(as_table(found))
    if file:
        write_json(file, document)


if __name__ == "__main__":
    main()
