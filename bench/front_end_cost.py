"""What do FusedSGD and FusedAdamW add, on a CPU, to torch's fused routine? `python -m fastbs.bench.front_end_cost`

Tensors of one number, so that time is Python and calls. Directly means: the gradients collected, as they are other
tensors after every backward pass, and the routine called with lists of weights and state that were made once.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
import torch
from tabulate import tabulate
from torch import nn
from tqdm import tqdm

from fastbs import worker
from fastbs.bench.update_implementations import BETAS, LR, MOMENTUM, WEIGHT_DECAY, OptimizerName, ours
from fastbs.config import parse_batch_sizes

CALLS = 50  # of each kind in turn
TURNS = 40


def measure(tensors: int, optimizer: OptimizerName) -> dict[str, float]:
    """Median seconds per update of "ours", of the routine called "directly", and of the routine "alone".

    Alone is without collecting the gradients, which no training can do. A third of the tensors have two dimensions.
    """
    torch.set_num_threads(1)
    ways = {"ours": ours(_parameters(tensors), optimizer), **_directly(_parameters(tensors), optimizer)}
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(TURNS + 1):
        for way, call in ways.items():
            start = time.perf_counter()
            for _ in range(CALLS):
                call()
            if turn:  # the first is warm-up
                taken[way].append((time.perf_counter() - start) / CALLS)
    return {way: statistics.median(seconds) for way, seconds in taken.items()}


def _parameters(tensors: int) -> list[Any]:
    parameters = [nn.Parameter(torch.ones((2, 2) if n % 3 == 0 else 1)) for n in range(tensors)]
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    return parameters


def _directly(parameters: list[Any], optimizer: OptimizerName) -> dict[str, Callable[[], object]]:
    first, second = ([torch.zeros_like(parameter) for parameter in parameters] for _ in range(2))
    count = torch.zeros(len(parameters))
    steps = list(count.unbind())
    shared: dict[str, Any] = {"lr": LR, "weight_decay": WEIGHT_DECAY[optimizer], "maximize": False}
    shared |= {"grad_scale": None, "found_inf": None}

    def sgd(gradients: list[Any]) -> None:
        momentum: dict[str, Any] = {"momentum": MOMENTUM, "dampening": 0.0, "nesterov": True, "is_first_step": False}
        torch._fused_sgd_(parameters, gradients, first, **momentum, **shared)

    def adamw(gradients: list[Any]) -> None:
        count.add_(1)
        form: dict[str, Any] = {"beta1": BETAS[0], "beta2": BETAS[1], "eps": 1e-8, "amsgrad": False}
        torch._fused_adamw_(parameters, gradients, first, second, [], steps, **form, **shared)

    routine = sgd if optimizer == "sgd" else adamw
    kept = [parameter.grad for parameter in parameters]

    @torch.no_grad()
    def directly() -> None:
        routine([parameter.grad for parameter in parameters])

    @torch.no_grad()
    def alone() -> None:
        routine(kept)

    return {"directly": directly, "alone": alone}


def as_table(samples: Mapping[tuple[str, int], Sequence[dict[str, float]]]) -> str:
    """Medians over processes, microseconds; of the difference its least and most too."""
    lines = []
    for (optimizer, tensors), found in samples.items():
        medians = [statistics.median(1e6 * sample[way] for sample in found) for way in ("ours", "directly", "alone")]
        more = sorted(1e6 * (sample["ours"] - sample["directly"]) for sample in found)
        text = f"{statistics.median(more):.1f} [{more[0]:.1f}, {more[-1]:.1f}]"
        lines.append([optimizer, tensors, *(f"{median:.1f}" for median in medians), text, len(found)])
    names = ["update", "tensors", "ours us", "directly us", "alone us", "ours - directly us [least, most]", "processes"]
    return tabulate(lines, names, disable_numparse=True)


@click.command()
@click.option("--tensors", type=parse_batch_sizes, default="1,40,284", show_default=True)
@click.option("--processes", type=click.IntRange(1), default=5, show_default=True, help="Fresh ones per row.")
def main(tensors: tuple[int, ...], processes: int) -> None:
    """Time our optimizers against torch's fused routine called directly."""
    samples: dict[tuple[str, int], list[dict[str, float]]] = {(o, n): [] for o in ("sgd", "adamw") for n in tensors}
    cells = [cell for _ in range(processes) for cell in samples]
    for optimizer, number in tqdm(cells, "processes", file=sys.stderr, disable=not sys.stderr.isatty()):
        arguments = {"tensors": number, "optimizer": optimizer}
        outcome = worker.call("fastbs.bench.front_end_cost:measure", arguments, threads=1)
        if outcome.status != "ok":
            raise RuntimeError(f"{optimizer} {outcome.status}: {outcome.reason}")
        samples[optimizer, number].append(outcome.value)
    click.echo(as_table(samples))


if __name__ == "__main__":
    main()
