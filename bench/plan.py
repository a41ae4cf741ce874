"""What is to be measured: the questions, and the settings whose combinations are its rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from fastbs.config import Augment, LoaderName, Precision, StepMode, from_mapping
from fastbs.errors import BadInput

Allocator = Literal["fastbs", "default"]
QUESTIONS = ("throughput", "data", "update", "inference", "accuracy", "step")


@dataclass(frozen=True, kw_only=True)
class BenchPlan:
    """Every combination of the plural settings is a row, in `processes` fresh processes."""

    questions: tuple[str, ...] = ("throughput",)
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8, 32, 128)
    models: tuple[str, ...] = ("small",)
    precisions: tuple[Precision, ...] = ()  # none: what an expert would choose on this machine
    loaders: tuple[LoaderName, ...] = ()  # none: synthetic, and dali where there are images
    steps: tuple[StepMode, ...] = ()  # none: eager, and beside artefacts compile too
    allocators: tuple[Allocator, ...] = ("fastbs",)  # default: that of the C library, as it comes
    optimizer: Literal["sgd", "adamw"] = "sgd"
    data: str | None = None  # folder of images; none: synthetic input, and digits where images are needed
    norm: str | None = None
    image_size: int | None = None
    augment: Augment | None = None
    classes: int | None = None  # of synthetic input; none: 10 up to 64 pixels, 1000 above
    device: Literal["cpu", "cuda"] | None = None
    threads: int | None = None
    loader_threads: int | None = None
    processes: int = 3
    blocks: int = 5  # timed ones of each process
    block_seconds: float = 0.5
    detail: bool = True  # look closer once it is timed: phases, operators, host time of a step; latency of inference
    function: str | None = None  # of question "step": module:name or file.py:name
    artifacts: tuple[str, ...] = ()  # of question "inference": folders with exported nets, measured beside torch
    cuda_graph: bool = False  # likewise: passes are captured and replayed
    target: float = 0.75  # of question "accuracy": top1 to reach ...
    epochs: float = 5  # ... within
    lr: float = 0.001
    find_max: bool = False

    def __post_init__(self) -> None:
        for name in ("questions", "batch_sizes", "models", "allocators"):
            if not getattr(self, name):
                raise BadInput(f"{name.replace('_', '-')}: none given")
        for question in self.questions:
            if question not in QUESTIONS:
                raise BadInput(f"question: {question!r} is unknown; known: {', '.join(QUESTIONS)}")
        for name in ("processes", "blocks", "image_size", "classes", "threads", "loader_threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadInput(f"{name.replace('_', '-')}: {value} is not a number from 1 on")
        for name in ("epochs", "lr"):
            if not 0 < getattr(self, name) < math.inf:
                raise BadInput(f"{name}: {getattr(self, name)} is not a number above 0")
        if not 0 < self.target <= 1:
            raise BadInput(f"target: {self.target} is not a top1 fraction in (0, 1]")
        if min(self.batch_sizes) < 1:
            raise BadInput(f"batch-sizes: {min(self.batch_sizes)} is not a number from 1 on")
        if not 0.01 <= self.block_seconds <= 60:
            raise BadInput(f"block-seconds: {self.block_seconds:g} is not between 0.01 and 60")
        if "step" in self.questions and self.function is None:
            raise BadInput("function: name what is to be measured, --function module:name or --function file.py:name")
        if (self.artifacts or self.cuda_graph) and "inference" not in self.questions:
            raise BadInput(f"{'artifact' if self.artifacts else 'cuda-graph'}: belongs to fastbs bench inference")
        if self.find_max and "throughput" not in self.questions:
            raise BadInput("find-max: belongs to fastbs bench throughput")

    @property
    def step_modes(self) -> tuple[StepMode, ...]:
        return self.steps or (("eager", "compile") if self.artifacts else ("eager",))

    @classmethod
    def everything(cls) -> Self:
        """All that needs no code of the user's."""
        return cls(questions=tuple(question for question in QUESTIONS if question != "step"))

    def to_json(self) -> dict[str, Any]:
        values = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], source: str = "bench") -> Self:
        return from_mapping(cls, values, source)
