"""What does our harness add to a step? `python -m fastbs.bench.harness_cost`

Pairs of fresh processes, in random order: one times training steps as `fastbs bench throughput` does, the other by the
hand-written loop. Both time every batch size in the same order, with the same net, optimizer, sums and allocator.
"""

from __future__ import annotations

import random
import statistics
import sys
from typing import Any

import click
from tabulate import tabulate
from tqdm import tqdm

from fastbs import worker
from fastbs.analysis.paired import paired_ratio
from fastbs.bench.cells import SMALL_LR
from fastbs.bench.plan import BenchPlan
from fastbs.bench.setting import Setting, open_setting
from fastbs.config import parse_batch_sizes
from fastbs.errors import BadInput
from fastbs.results.files import SCHEMA, dump_json

MARGIN = 0.03  # a harness that adds less is free
SIZE = 32  # side of the images, pixels


def time_ours(config: dict[str, Any], dataset: str, batch_sizes: list[int], **blocks: Any) -> list[list[float]]:
    """Seconds per step of each block, for each batch size in turn; runs in a process of its own."""
    from fastbs.bench.training_step import measure_training_step

    samples = [measure_training_step(config | {"batch_size": size}, dataset, **blocks) for size in batch_sizes]
    return [[seconds / calls for calls, seconds, *_ in sample["blocks"]] for sample in samples]


def compare(setting: Setting, pairs: int, seed: int) -> list[dict[str, Any]]:
    """A row per batch size: {"batch_size", "pairs", "ratio" (ours / by hand), "interval", "free"}."""
    plan = setting.plan
    batch_sizes, threads = plan.batch_sizes, setting.threads
    timing = {"blocks": plan.blocks, "block_seconds": plan.block_seconds}
    order, ratios = random.Random(seed), [list[float]() for _ in batch_sizes]
    run = setting.run("small", "fp32", "synthetic").replace(lr=SMALL_LR)
    ours = {"config": run.to_json(), "dataset": setting.dataset_file("small", "synthetic"), "detail": False}
    by_hand = {"image_size": SIZE, "threads": threads, "lr": SMALL_LR}
    sides: list[tuple[str, dict[str, Any]]] = [
        ("fastbs.bench.harness_cost:time_ours", ours | timing),
        ("fastbs.bench.hand_written_loop:time_by_hand", by_hand | timing),
    ]
    for _ in tqdm(range(pairs), "pairs", file=sys.stderr, disable=not sys.stderr.isatty()):
        sizes = order.sample(range(len(batch_sizes)), len(batch_sizes))
        seconds = [[0.0] * len(batch_sizes) for _ in sides]
        for side in order.sample((0, 1), 2):
            target, arguments = sides[side]
            asked = [batch_sizes[index] for index in sizes]
            outcome = worker.call(target, arguments | {"batch_sizes": asked}, threads=threads)
            if outcome.status != "ok":
                raise RuntimeError(f"{target} {outcome.status}: {outcome.reason}")
            for index, measured in zip(sizes, outcome.value, strict=True):
                seconds[side][index] = statistics.median(measured)
        for index, (own, other) in enumerate(zip(*seconds, strict=True)):
            ratios[index].append(own / other)
    return [_row(size, found) for size, found in zip(batch_sizes, ratios, strict=True)]


def _row(batch_size: int, ratios: list[float]) -> dict[str, Any]:
    found = paired_ratio(dict(enumerate(ratios)), dict.fromkeys(range(len(ratios)), 1.0))
    assert found is not None  # there is at least one pair
    free = found.bounded and (found.touches(1, 1) or found.within(1 - MARGIN, 1 + MARGIN))
    row = {"batch_size": batch_size, "pairs": len(ratios), "ratio": found.estimate, "interval": found.bounds()}
    return row | {"free": free}


@click.command()
@click.option("--batch-sizes", type=parse_batch_sizes, default="1,128", show_default=True)
@click.option("--pairs", type=click.IntRange(2), default=30, show_default=True, help="Of fresh processes.")
@click.option("--repeats", type=click.IntRange(1), default=3, show_default=True, help="Of the whole comparison.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--blocks", type=click.IntRange(1), default=3, show_default=True, help="In each process.")
@click.option("--block-seconds", type=float, default=0.25, show_default=True)
@click.option("--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True)
def main(pairs: int, repeats: int, style: str, **options: Any) -> None:
    """Time our harness against a hand-written loop. Exit code 1 when it is not free in every repeat.

    It is free where the interval of ours / by hand contains 1, or lies within 3 % of it: look at its width.
    """
    try:
        plan = BenchPlan(image_size=SIZE, precisions=("fp32",), processes=2 * pairs, **options)
        with open_setting(plan) as setting:
            compared = [compare(setting, pairs, seed=repeat) for repeat in range(repeats)]
            document: dict[str, Any] = {"schema": SCHEMA, "kind": "harness-cost", "margin": MARGIN}
            document |= {"settings": setting.describe(), "machine": setting.machine}
    except BadInput as error:
        click.echo(f"fastbs: {error}", err=True)
        sys.exit(2)
    rows = [{"repeat": repeat} | row for repeat, found in enumerate(compared, 1) for row in found]
    click.echo(dump_json(document | {"rows": rows}) if style == "json" else as_table(rows), nl=style == "table")
    sys.exit(0 if all(row["free"] for row in rows) else 1)


def as_table(rows: list[dict[str, Any]]) -> str:
    names = ["repeat", "batch", "pairs", "ours / by hand", "95 %", "free"]
    lines = [
        [row["repeat"], row["batch_size"], row["pairs"], f"{row['ratio']:.4f}"]
        + ["[{:.4f}, {:.4f}]".format(*row["interval"]), "yes" if row["free"] else "NO"]
        for row in rows
    ]
    return tabulate(lines, names, disable_numparse=True)


if __name__ == "__main__":
    main()
