"""What a run leaves behind, as typed values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["ok", "missed", "diverged", "oom", "unsupported", "failed", "stopped"]
STATUSES: tuple[Status, ...] = ("ok", "missed", "diverged", "oom", "unsupported", "failed", "stopped")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One line of metrics.jsonl: where a run stood when it looked at the validation set."""

    images: int  # training images seen so far
    updates: int  # weight updates made so far
    train_seconds: float  # training clock: steps and input wait, nothing else
    wall_seconds: float  # wall clock since the process started, evaluation and checkpoints included
    train_loss: float  # mean over the training batches since the evaluation before
    train_top1: float  # likewise, accuracy on those batches while they were trained on
    loss: float  # on the whole validation set
    top1: float
    balanced_top1: float  # mean over classes of the accuracy within each
    lr: float

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was measured over the whole of a run that ended by itself."""

    updates: int
    skipped_updates: int  # fp16 updates not made because a gradient overflowed
    images: int
    train_seconds: float  # steps and input wait, first to last
    wall_seconds: float  # process start to end, all restarts added
    startup_seconds: float  # imports, model, loaders, compilation
    eval_seconds: float
    checkpoint_seconds: float
    input_wait_seconds: float  # part of train_seconds in which the step waited for its batch
    step_seconds: float  # median over blocks of about half a second, the first block left out
    update_seconds: float | None  # optimizer's part of one step: median over sampled steps; null in very short runs
    parameters: int
    peak_memory_bytes: int
    minor_faults_per_image: float | None  # over the blocks that step_seconds counts
    energy_joules: float | None  # null where nothing measures it
    energy_source: str | None

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run: what was asked for, how it ended, what it measured."""

    id: str  # folder name, unique in its sweep
    arm: str  # "main", or the name of the control: "same-updates", "scaled-lr"
    batch_size: int
    seed: int
    lr: float
    status: Status
    reason: str | None = None
    result: Result | None = None  # null unless the run ended by itself (ok, missed, diverged)
    evaluations: tuple[Evaluation, ...] = field(default=())

    @property
    def last(self) -> Evaluation:
        """The final evaluation: the one that accuracy tables use (never the best one)."""
        return self.evaluations[-1]


def from_json(cls: type[Any], values: Mapping[str, Any]) -> Any:
    """A flat record class from JSON; unknown keys are ignored, so that an older reader bears added fields."""
    known = {f.name for f in dataclasses.fields(cls)}
    return cls(**{key: value for key, value in values.items() if key in known})


def run_from_json(document: Mapping[str, Any], evaluations: tuple[Evaluation, ...]) -> RunRecord:
    """A run from its run.json and the lines of its metrics.jsonl."""
    result = document.get("result")
    return RunRecord(
        id=document["id"],
        arm=document["arm"],
        batch_size=document["config"]["batch_size"],
        seed=document["config"]["seed"],
        lr=document["config"]["lr"],
        status=document["status"],
        reason=document.get("reason"),
        result=from_json(Result, result) if result else None,
        evaluations=evaluations,
    )
