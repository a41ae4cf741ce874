"""From a plan to its cells: what each row is, and which call in a fresh process measures it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

from fastbs.bench.inference_ways import inference_ways
from fastbs.bench.plan import BenchPlan
from fastbs.bench.setting import Setting
from fastbs.config import RunConfig
from fastbs.worker.environment import ALLOCATOR

TIMED_LOADERS = ("dali", "resident", "torch-uint8", "torch-float32")
LATENCIES = 100  # calls at least over all processes of a row: what a 99th percentile needs
SMALL_LR = 1e-6  # weights stay where they are: no step overflows, and none works on denormal numbers


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One row to be: `identity` names it, `target` ("module:function") measures it in a process of its own."""

    question: str
    identity: dict[str, Any]
    target: str
    arguments: dict[str, Any]
    threads: int
    env: dict[str, str | None] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """`question-value-value-...`, unique within a plan; what `-k` selects by."""
        said = [
            name if value is True else str(value)
            for name, value in self.identity.items()
            if value is not None and value is not False
        ]
        return "-".join([self.question, *(text.replace("-", "_") for text in said)])

    def in_round(self, number: int) -> Self:
        """The same cell with the seed of that round: all rows of a round share it."""
        arguments = dict(self.arguments)
        if "seed" in arguments:
            arguments["seed"] = number
        if "config" in arguments:
            arguments["config"] = arguments["config"] | {"seed": number}
        return replace(self, arguments=arguments)


def make_cells(plan: BenchPlan, setting: Setting) -> dict[str, list[Cell]]:
    """The cells of each question; a cell that is asked for twice is measured once, for the first question."""
    known: set[str] = set()
    cells: dict[str, list[Cell]] = {}
    for question in plan.questions:
        asked = {cell.id: cell for cell in _CELLS[question](plan, setting) if cell.id not in known}
        known |= asked.keys()
        cells[question] = list(asked.values())
    return cells


def _throughput(plan: BenchPlan, setting: Setting) -> list[Cell]:
    loaders = plan.loaders or (("dali", "synthetic") if plan.data else ("synthetic",))
    cells = []
    for model, precision, loader, step, allocator, size in itertools.product(
        plan.models, setting.precisions, loaders, plan.step_modes, plan.allocators, plan.batch_sizes
    ):
        run = setting.run(model, precision, loader).replace(batch_size=size, step=step, lr=SMALL_LR)
        cells.append(
            Cell(
                question="throughput",
                identity={
                    "model": model,
                    "precision": run.precision,
                    "loader": loader,
                    "input": "synthetic" if loader == "synthetic" else "real",
                    "step": step,
                    "allocator": allocator,
                    "batch_size": size,
                },
                target="fastbs.bench.training_step:measure_training_step",
                arguments={
                    "config": run.to_json(),
                    "dataset": setting.dataset_file(model, loader),
                    "detail": plan.detail,
                    **_blocks(plan),
                },
                threads=setting.threads,
                env=dict.fromkeys(ALLOCATOR) if allocator == "default" else {},
            )
        )
    return cells


def _update(plan: BenchPlan, setting: Setting) -> list[Cell]:
    """Every implementation on every list of parameters, and the steps that the updates are a part of."""
    from fastbs.bench.weight_update import PARAMETER_LISTS, UPDATE_IMPLEMENTATIONS

    updates = [
        Cell(
            question="update",
            identity={"model": model, "optimizer": plan.optimizer, "implementation": implementation},
            target="fastbs.bench.weight_update:measure_update",
            arguments={
                "model": model,
                "optimizer": plan.optimizer,
                "implementation": implementation,
                "device": setting.device,
                "threads": setting.threads,
                **_blocks(plan),
            },
            threads=setting.threads,
        )
        for model, implementation in itertools.product(PARAMETER_LISTS, UPDATE_IMPLEMENTATIONS)
    ]
    return updates + [cell for cell in _throughput(plan, setting) if cell.identity["input"] == "synthetic"]


def _data(plan: BenchPlan, setting: Setting) -> list[Cell]:
    run = setting.run(plan.models[0], setting.precisions[0], "synthetic")  # so that it also runs without DALI
    return [
        Cell(
            question="data",
            identity={
                "loader": loader,
                "input": "real",
                "image_size": run.image_size,
                "batch_size": size,
            },
            target="fastbs.bench.data_loading:measure_loading",
            arguments={
                "dataset": setting.dataset_file(plan.models[0], "torch"),
                "loader": loader,
                "batch_size": size,
                "image_size": run.image_size,
                "augment": run.augment,
                "precision": "fp32",
                "device": setting.device,
                "threads": run.loader_threads,
                "seed": 0,
                **_blocks(plan),
            },
            threads=setting.threads,
        )
        for loader, size in itertools.product(TIMED_LOADERS, plan.batch_sizes)
    ]


def _inference(plan: BenchPlan, setting: Setting) -> list[Cell]:
    return [
        Cell(
            question="inference",
            identity={**way.identity, "cuda_graph": plan.cuda_graph, "batch_size": size},
            target=way.target,
            arguments={
                **way.arguments,
                "batch_size": size,
                "device": setting.device,
                "threads": setting.threads,
                "cuda_graph": plan.cuda_graph,
                "detail": plan.detail,
                "least_calls": -(-LATENCIES // plan.processes),
                **_blocks(plan),
            },
            threads=setting.threads,
        )
        for way, size in itertools.product(inference_ways(plan, setting), plan.batch_sizes)
    ]


def _accuracy(plan: BenchPlan, setting: Setting) -> list[Cell]:
    loaders = tuple(loader for loader in plan.loaders if loader != "synthetic") or ("dali",)
    cells = []
    for model, precision, loader, step, size in itertools.product(
        plan.models, setting.precisions, loaders, plan.step_modes, plan.batch_sizes
    ):
        run: RunConfig = setting.run(model, precision, loader)
        run = run.replace(batch_size=size, step=step, lr=plan.lr, epochs=plan.epochs, target=plan.target)
        cells.append(
            Cell(
                question="accuracy",
                identity={
                    "model": model,
                    "precision": run.precision,
                    "loader": loader,
                    "step": step,
                    "batch_size": size,
                },
                target="fastbs.bench.accuracy:measure_accuracy",
                arguments={
                    "config": run.to_json(),
                    "dataset_file": setting.dataset_file(model, loader),
                    "target": plan.target,
                    "machine": setting.machine,
                },
                threads=setting.threads,
            )
        )
    return cells


def _own_step(plan: BenchPlan, setting: Setting) -> list[Cell]:
    return [
        Cell(
            question="step",
            identity={"name": plan.function, "batch_size": size},
            target="fastbs.bench.own_step:measure_own_step",
            arguments={
                "function": plan.function,
                "batch_size": size,
                "device": setting.device,
                "threads": setting.threads,
                **_blocks(plan),
            },
            threads=setting.threads,
        )
        for size in plan.batch_sizes
    ]


def _blocks(plan: BenchPlan) -> dict[str, Any]:
    return {"blocks": plan.blocks, "block_seconds": plan.block_seconds}


_CELLS: dict[str, Callable[[BenchPlan, Setting], list[Cell]]] = {
    "throughput": _throughput,
    "data": _data,
    "update": _update,
    "inference": _inference,
    "accuracy": _accuracy,
    "step": _own_step,
}
