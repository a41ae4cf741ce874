"""Measure cells and make their document: rows, curves, the largest batch, and the machine they hold for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from fastbs.analysis.bench_document import bench_document
from fastbs.bench.cells import Cell
from fastbs.bench.find_max import find_max
from fastbs.bench.plan import BenchPlan
from fastbs.bench.progress import Progress
from fastbs.bench.rounds import measure_rounds
from fastbs.bench.setting import Setting

LARGEST = 1 << 16  # where the search for the largest batch ends at the latest


def measure(cells: Sequence[Cell], plan: BenchPlan, setting: Setting) -> dict[str, Any]:
    """The document of kind "bench": every cell is a row, in the order given. Progress goes to stderr."""
    with Progress(len(cells) * plan.processes) as progress:
        outcomes = measure_rounds(cells, plan.processes, progress.done)
    largest = _largest(cells, plan, setting) if plan.find_max else []
    document = bench_document(
        [{"question": cell.question, "identity": cell.identity} for cell in cells],
        outcomes,
        settings=setting.describe(),
        machine=setting.machine,
        timed=timed(plan),
    )
    return document | ({"find_max": largest} if plan.find_max else {})


CONTENTS = {
    "throughput": "a step is input, forward, backward, update and the sums of loss and hits",
    "update": "an update is the optimizer's step alone, again and again on the same gradients",
    "data": "a batch is what the loader hands out, with nothing done to it",
    "inference": "images/s: forward alone on a batch that lies on the device, again and again, not waited for one by "
    "one; p50 to p99: one batch from the host and back, each waited for, over all calls of all processes (on a CPU "
    "nothing is copied); first: the first call, loading apart",
    "accuracy": "a whole training in each process, its seed; the time is that of training alone",
    "step": "a step is one call of the function's own",
}


def timed(plan: BenchPlan) -> str:
    """What a time in the document contains, and how it is taken."""
    several = plan.processes > 1
    rounds = f"{plan.processes} fresh process{'es' if several else ''} a row, in random order"
    blocks = (
        f"in each, after a warm-up, {plan.blocks} block{'s' if plan.blocks > 1 else ''} of about "
        f"{plan.block_seconds:g} s, the device waited for at their ends only"
    )
    said = [CONTENTS[question] for question in plan.questions] + [rounds]
    said += [blocks] if set(plan.questions) - {"accuracy"} else []
    said += ["intervals (95 %) over processes"] if several else []
    return "; ".join(said)


def _largest(cells: Sequence[Cell], plan: BenchPlan, setting: Setting) -> list[dict[str, Any]]:
    """The largest batch that runs, for every model, precision and step among the cells."""
    found = []
    for identity in _distinct(cells):
        run = setting.run(identity["model"], identity["precision"], "synthetic")
        settings = {
            "model": run.model,
            "norm": run.norm,
            "classes": setting.classes(run.model),
            "image_size": run.image_size,
            "precision": run.precision,
            "step": identity["step"],
            "optimizer": run.optimizer,
            "device": setting.device,
            "threads": setting.threads,
        }

        def say(text: str, identity: dict[str, Any] = identity) -> None:
            print(f"{'-'.join(identity.values())}: {text}", file=sys.stderr, flush=True)

        found.append(identity | find_max(settings, first=max(plan.batch_sizes), limit=LARGEST, progress=say))
    return found


def _distinct(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    for cell in (cell for cell in cells if cell.question == "throughput"):
        identity = {key: cell.identity[key] for key in ("model", "precision", "step")}
        if identity not in seen:
            seen.append(identity)
    return seen
