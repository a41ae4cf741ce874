"""What does our harness add to a step? `python -m fastbs.bench.harness_cost`

Pairs of fresh processes that take turns, block by block: one times training steps as `fastbs bench throughput` does,
the other by the hand-written loop, with the same net, optimizer, sums and allocator. Who begins is random.
"""

from __future__ import annotations

import random
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
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
from fastbs.worker.giving_turns import giving_turns
from fastbs.worker.turns import VARIABLE

MARGIN = 0.03  # a harness that adds less is free
SIZE = 32  # side of the images, pixels


def time_ours(config: dict[str, Any], dataset: str, **blocks: Any) -> list[float]:
    """Seconds per step of each block; runs in a process of its own."""
    from fastbs.bench.training_step import measure_training_step

    sample = measure_training_step(config, dataset, **blocks)
    return [seconds / calls for calls, seconds, *_ in sample["blocks"]]


def compare(setting: Setting, pairs: int, seed: int) -> list[dict[str, Any]]:
    """A row per batch size: {"batch_size", "pairs", "ratio" (ours / by hand), "interval", "free"}."""
    plan = setting.plan
    order, ratios = random.Random(seed), {size: list[float]() for size in plan.batch_sizes}
    timing = {"blocks": plan.blocks, "block_seconds": plan.block_seconds}
    run = setting.run("small", "fp32", "synthetic").replace(lr=SMALL_LR)
    ours: dict[str, Any] = {"dataset": setting.dataset_file("small", "synthetic"), "detail": False} | timing
    by_hand = {"image_size": SIZE, "threads": setting.threads, "lr": SMALL_LR} | timing
    for _ in tqdm(range(pairs), "pairs", file=sys.stderr, disable=not sys.stderr.isatty()):
        for size in order.sample(plan.batch_sizes, len(plan.batch_sizes)):
            calls: list[tuple[str, dict[str, Any]]] = [
                ("fastbs.bench.harness_cost:time_ours", ours | {"config": run.replace(batch_size=size).to_json()}),
                ("fastbs.bench.hand_written_loop:time_by_hand", by_hand | {"batch_size": size}),
            ]
            own, other = map(statistics.median, _in_turns(calls, setting.threads, first=order.randrange(2)))
            ratios[size].append(own / other)
    return [_row(size, found) for size, found in ratios.items()]


def _in_turns(calls: Sequence[tuple[str, dict[str, Any]]], threads: int, first: int) -> list[Any]:
    """What fresh processes return that measure side by side, block by block, `first` before the other."""
    with giving_turns(len(calls), first=first) as turns, ThreadPoolExecutor(len(calls)) as pool:

        def measure(party: int) -> Any:
            target, arguments = calls[party]
            try:
                outcome = worker.call(target, arguments, threads=threads, env={VARIABLE: f"{turns.address} {party}"})
            finally:
                turns.left(party)
            if outcome.status != "ok":
                raise RuntimeError(f"{target} {outcome.status}: {outcome.reason}")
            return outcome.value

        return list(pool.map(measure, range(len(calls))))


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
@click.option("--blocks", type=click.IntRange(1), default=10, show_default=True, help="In each process.")
@click.option("--block-seconds", type=float, default=0.1, show_default=True)
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
