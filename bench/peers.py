"""Whole trainings beside those of other tools: `python -m fastbs.bench.peers DIR`

One net, the same images, epochs, optimizer and number format (fp32), and the same allocator setting for all, or that
which each would have by itself. In each round every tool trains once at every batch size, each in a fresh process, in
random order; ratios are taken within a round.
"""

from __future__ import annotations

import random
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import click
from tabulate import tabulate
from tqdm import tqdm

from fastbs import worker
from fastbs.analysis.paired import paired_ratio
from fastbs.bench.plan import BenchPlan
from fastbs.bench.setting import Setting, open_setting
from fastbs.config import parse_batch_sizes
from fastbs.errors import BadInput
from fastbs.rendering.numbers import NOTHING, fraction, significant
from fastbs.results.files import SCHEMA, dump_json
from fastbs.worker.environment import ALLOCATOR

OURS, PEERS = "fastbs", ("lightning", "plain")
TARGETS = {OURS: "by_fastbs", "lightning": "by_lightning", "plain": "by_plain_loop"}
Measured = dict[tuple[int, str], dict[int, dict[str, Any]]]  # (batch size, tool) -> round -> seconds and top1


def measure(setting: Setting, rounds: int, loader: str, allocator: Literal["same", "default"]) -> Measured:
    """Train everything. A training that does not end well is {"reason": why}."""
    plan = setting.plan
    run = setting.run(plan.models[0], "fp32", loader)
    measured: Measured = {}
    cells = [(size, tool) for size in plan.batch_sizes for tool in (OURS, *PEERS)]
    with tqdm(total=rounds * len(cells), unit="training", file=sys.stderr, disable=not sys.stderr.isatty()) as bar:
        for number in range(rounds):
            for size, tool in random.Random(number).sample(cells, len(cells)):
                once = int(plan.epochs) * len(setting.images.train) if setting.images else None
                own = run.replace(batch_size=size, seed=number, lr=plan.lr, epochs=plan.epochs, eval_images=once)
                arguments = {
                    "config": own.to_json(),
                    "dataset": setting.dataset_file(plan.models[0], loader),
                    "machine": setting.machine,
                }
                env = dict.fromkeys(ALLOCATOR) if allocator == "default" and tool != OURS else {}
                target = f"fastbs.bench.peer_trainings:{TARGETS[tool]}"
                outcome = worker.call(target, arguments, threads=setting.threads, env=env)
                ended = outcome.value or {"reason": f"{outcome.status}: {outcome.reason}"}
                measured.setdefault((size, tool), {})[number] = ended
                bar.update()
    return measured


def summary(measured: Measured) -> dict[str, Any]:
    """{"rows": [{"batch_size", "peer", "ratio", "interval", ...}], "geomean"}: ratio = seconds of the peer / ours.

    Above 1 the peer is slower. Intervals (95 %) over rounds that both ended well; "geomean" is over rows with a ratio.
    A row without one says why in "reason".
    """
    rows: list[dict[str, Any]] = []
    for size, tool in sorted(cell for cell in measured if cell[1] != OURS):
        peer, ours = measured[size, tool], measured[size, OURS]
        ratio = paired_ratio(_values(peer, "seconds"), _values(ours, "seconds"))
        reasons = [f"{name} {reason}" for name, side in ((tool, peer), (OURS, ours)) for reason in _reasons(side)]
        rows.append(
            {
                "batch_size": size,
                "peer": tool,
                "ratio": ratio.estimate if ratio else None,
                "interval": ratio.bounds() if ratio else None,
                "seconds": _median(peer, "seconds"),
                "fastbs_seconds": _median(ours, "seconds"),
                "top1": _median(peer, "top1"),
                "fastbs_top1": _median(ours, "top1"),
                "reason": reasons[0] if reasons else None,
            }
        )
    ratios = [row["ratio"] for row in rows if row["ratio"] is not None]
    return {"rows": rows, "geomean": statistics.geometric_mean(ratios) if ratios else None}


def _values(by_round: dict[int, dict[str, Any]], key: str) -> dict[int, float]:
    return {number: value[key] for number, value in by_round.items() if key in value}


def _reasons(by_round: dict[int, dict[str, Any]]) -> list[str]:
    return [value["reason"] for value in by_round.values() if "reason" in value]


def _median(by_round: dict[int, dict[str, Any]], key: str) -> float | None:
    values = _values(by_round, key).values()
    return statistics.median(values) if values else None


def as_table(document: dict[str, Any]) -> str:
    def cells(row: dict[str, Any]) -> Sequence[Any]:
        interval = "" if row["interval"] is None else " [{:.2f}, {:.2f}]".format(*row["interval"])
        times = [significant(row["seconds"]), significant(row["fastbs_seconds"])]
        accuracies = [fraction(row["top1"]), fraction(row["fastbs_top1"])]
        ratio = NOTHING if row["ratio"] is None else f"{row['ratio']:.2f}{interval}"
        return [row["batch_size"], row["peer"], ratio, *times, *accuracies]

    names = ["batch", "peer", "peer / fastbs", "s", "fastbs s", "top1", "fastbs top1"]
    table = tabulate([cells(row) for row in document["rows"]], names, disable_numparse=True)
    reasons = {f"{row['peer']} at {row['batch_size']}: {row['reason']}" for row in document["rows"] if row["reason"]}
    return "\n".join([table, f"geometric mean {significant(document['geomean'])}", *sorted(reasons), document["timed"]])


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--batch-sizes", type=parse_batch_sizes, default="8,32,128", show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--epochs", type=click.IntRange(1), default=2, show_default=True)
@click.option("--lr", type=float, default=0.01, show_default=True, help="Learning rate, of all.")
@click.option("--image-size", type=int, help="Side of the images that the net sees, pixels.")
@click.option("--loader", type=click.Choice(["dali", "resident", "torch"]), default="dali", show_default=True)
@click.option("--threads", type=int, help="Compute threads.")
@click.option("--allocator", type=click.Choice(["same", "default"]), default="same", show_default=True)
@click.option("--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True)
def main(folder: Path, batch_sizes: str, rounds: int, loader: str, allocator: Any, style: str, **options: Any) -> None:
    """Train on FOLDER with fastbs, with Lightning and with a plain loop, and compare whole trainings.

    Exit code 1 when a row has no ratio.
    """
    given = {"data": str(folder), "precisions": ["fp32"], "loaders": [loader], **options}
    try:
        plan = BenchPlan.from_json(given | {"batch_sizes": list(batch_sizes)})
        with open_setting(plan) as setting:
            document: dict[str, Any] = {"schema": SCHEMA, "kind": "peers"}
            document |= summary(measure(setting, rounds, loader, allocator))
            document |= {"settings": setting.describe(), "machine": setting.machine}
    except BadInput as error:
        click.echo(f"fastbs: {error}", err=True)
        sys.exit(2)
    document["timed"] = (
        f"{rounds} rounds; seconds of a whole training after the imports: net, loader, {plan.epochs:g} epochs, one "
        f"evaluation, and of fastbs its records; peers read by DataLoader, fastbs by {loader}; allocator settings: "
        + ("ours for all" if allocator == "same" else "each tool's own")
    )
    click.echo(dump_json(document) if style == "json" else as_table(document), nl=style == "table")
    sys.exit(1 if any(row["ratio"] is None for row in document["rows"]) else 0)


if __name__ == "__main__":
    main()
