"""What a run leaves behind, as typed values."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
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
class NoiseDraw:
    """Gradients of K micro-batches at the same weights: one line of noise.jsonl.

    Norms are over all weights, in the gradient of the mean loss, unscaled, before weight decay.
    """

    images: int  # training images seen when it was drawn
    updates: int
    micro_batch: int  # images in each micro-batch
    squared_norms: tuple[float, ...]  # |g_k|^2 of each micro-batch
    squared_norm_of_mean: float  # |mean of g_k|^2
    seconds: float  # that drawing it took
    train_images: int | None = None  # that epochs go through without repeating one; null in older records
    epoch_parts: tuple[int, ...] = ()  # micro-batches of each epoch that it took from

    def to_json(self) -> dict[str, Any]:
        lists = {"squared_norms": list(self.squared_norms), "epoch_parts": list(self.epoch_parts)}
        return dataclasses.asdict(self) | lists


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
    noise_seconds: float = 0.0  # spent on draws of the gradient noise scale, not part of train_seconds
    # Of several ranks, medians: forward and backward with gradients averaged over ranks, and without. Null when alone.
    synced_pass_seconds: float | None = None
    unsynced_pass_seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run: what was asked for, how it ended, what it measured."""

    id: str  # folder name, unique in its sweep
    arm: str  # "main", or the name of the control: "same-updates", "root-lr", "scaled-lr"
    batch_size: int
    seed: int
    lr: float
    status: Status
    reason: str | None = None
    shared: bool = False  # others computed on the same node meanwhile: accuracies count, times do not
    started_at: float | None = field(default=None, compare=False)  # seconds since 1970, when it was first begun
    result: Result | None = None  # null unless the run ended by itself (ok, missed, diverged)
    evaluations: tuple[Evaluation, ...] = field(default=())
    noise: tuple[NoiseDraw, ...] = field(default=())

    @property
    def last(self) -> Evaluation:
        """The final evaluation: the one that accuracy tables use (never the best one)."""
        return self.evaluations[-1]


def from_json(cls: type[Any], values: Mapping[str, Any]) -> Any:
    """A flat record class from JSON; unknown keys are ignored, so that an older reader bears added fields.

    KeyError for a field that is missing and has no default, ValueError for one that holds something else than its
    annotation says.
    """
    hints = typing.get_type_hints(cls)
    there = [f.name for f in dataclasses.fields(cls) if f.name in values or f.default is dataclasses.MISSING]
    return cls(**{key: _checked(key, values[key], hints[key]) for key in there})


def run_from_json(
    document: Mapping[str, Any], evaluations: tuple[Evaluation, ...], noise: tuple[NoiseDraw, ...] = ()
) -> RunRecord:
    """A run from its run.json and the lines of metrics.jsonl and noise.jsonl. KeyError, ValueError as `from_json`."""
    config, status, result = document["config"], document["status"], document["result"]
    if status not in STATUSES or (status == "ok" and result is None):
        raise ValueError(f"status {status!r}, result {'missing' if result is None else 'there'}")
    return RunRecord(
        id=_checked("id", document["id"], str),
        arm=_checked("arm", document["arm"], str),
        batch_size=_checked("batch_size", config["batch_size"], int),
        seed=_checked("seed", config["seed"], int),
        lr=_checked("lr", config["lr"], float),
        status=status,
        reason=_checked("reason", document["reason"], str | None),
        shared=bool(document.get("shared")),
        started_at=_checked("started_at", document.get("started_at"), float | None),
        result=None if result is None else from_json(Result, result),
        evaluations=evaluations,
        noise=noise,
    )


def _checked(key: str, value: Any, hint: Any) -> Any:
    """`value` where it is of the annotated type (an int may stand for a float) and finite, or ValueError."""
    if typing.get_origin(hint) is tuple:  # of numbers, a list in JSON
        if not isinstance(value, list):
            raise ValueError(f"{key} is {value!r}")
        return tuple(_checked(key, item, typing.get_args(hint)[0]) for item in value)
    allowed = typing.get_args(hint) or (hint,)
    if float in allowed:
        allowed = (*allowed, int)
    if not isinstance(value, allowed) or isinstance(value, bool) or (isinstance(value, float) and not isfinite(value)):
        raise ValueError(f"{key} is {value!r}")
    return value
