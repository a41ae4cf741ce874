"""Options that mean the same in every verb, and values that click has no type for."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fastbs.config import parse_batch_sizes

Command = TypeVar("Command", bound=Callable[..., Any])


class BatchSizes(click.ParamType[tuple[int, ...]]):
    """`1,2,4,8`, `8..1024x2` (from, to, factor), or both mixed: `1..64x4,96,160`."""

    name = "sizes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        try:
            return value if isinstance(value, tuple) else parse_batch_sizes(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Rates(click.ParamType[tuple[tuple[int, float], ...]]):
    """A learning rate for each batch size: `1:1e-3,8:4e-3`."""

    name = "rates"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[tuple[int, float], ...]:
        if isinstance(value, tuple):
            return value
        try:
            pairs = [part.split(":") for part in value.split(",")]
            return tuple(sorted((int(size), float(lr)) for size, lr in pairs))
        except ValueError:
            self.fail(f"{value!r} is no list of batch sizes and rates; write 1:1e-3,8:4e-3", param, ctx)


class Share(click.ParamType[float]):
    """A fraction of a value: `3%`, `2.5%` or `0.03`."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            share = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
        except ValueError:
            share = math.nan
        if not 0 < share < 1:
            self.fail(f"{value!r} is not between 0 and 100 %; write 3% or 0.03", param, ctx)
        return share


def experiment_options(command: Command) -> Command:
    """What decides the numbers of a run. All default to None: unset means the preset's value, then config.py's."""
    for option in reversed(
        [
            click.option("--model", help="small, resnet18, resnet50, inception_v3, timm:NAME or module:function."),
            click.option("--pretrained", is_flag=True, default=None, help="Start from pretrained weights (timm:NAME)."),
            click.option("--init", type=click.Path(path_type=str), help="File with weights to start from."),
            click.option("--norm", type=click.Choice(["group", "batch", "none"]), help="Normalisation layers."),
            click.option("--image-size", type=int, help="Side of the images that the net sees, pixels."),
            click.option("--augment", type=click.Choice(["none", "crop-flip", "random-resized"])),
            click.option("--epochs", type=float, help="Passes over the training images."),
            click.option("--updates", type=int, help="Weight updates to make, instead of epochs."),
            click.option("--optimizer", type=click.Choice(["sgd", "adamw"])),
            click.option("--lr", type=float, help="Learning rate (of a sweep: at --lr-at)."),
            click.option("--momentum", type=float),
            click.option("--beta2", type=float, help="Of AdamW; --momentum is its beta1."),
            click.option("--weight-decay", type=float),
            click.option("--label-smoothing", type=float),
            click.option("--warmup-images", type=int, help="The rate rises linearly over this many images."),
            click.option("--schedule", type=click.Choice(["constant", "cosine", "linear"])),
            click.option("--precision", type=click.Choice(["fp32", "tf32", "bf16", "fp16"])),
            click.option("--loader", type=click.Choice(["dali", "resident", "torch", "synthetic"])),
            click.option("--step", type=click.Choice(["eager", "compile"]), help="How a step is executed."),
            click.option("--device", type=click.Choice(["cpu", "cuda"])),
            click.option("--threads", type=int, help="Compute threads."),
            click.option("--loader-threads", type=int),
            click.option("--eval-images", type=int, help="Evaluate every so many training images; default: an epoch."),
            click.option("--seconds", type=float, help="Training time at most: the run ends with it."),
            click.option("--target", type=float, help="Time the reaching of this top1."),
            click.option("--hold", type=int, help="Evaluations in a row at the target that count as reaching it."),
            click.option("--until-target", is_flag=True, default=None, help="Stop once the target is held."),
            click.option("--micro-batch", type=int, help="Images in one pass; larger batches accumulate gradients."),
            click.option("--noise-scale", is_flag=True, default=None, help="Measure the gradient noise scale too."),
            click.option("--checkpoint-seconds", type=float, help="At most one checkpoint in so many seconds."),
        ]
    ):
        command = option(command)
    return command


def given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were set, as config keys; lists as TOML would give them."""
    present = {key: value for key, value in options.items() if value is not None and value != ()}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in present.items()}


weight_decay_rule = click.option(
    "--weight-decay-rule",
    type=click.Choice(["constant", "timescale"]),
    help="timescale: AdamW's decay times rate follows batch size, from --lr-at on.",
)
output_format = click.option(
    "--format",
    "style",
    type=click.Choice(["table", "markdown", "json", "csv"]),
    default="table",
    show_default=True,
    help="How results are printed on stdout.",
)
out_option = click.option("--out", type=click.Path(path_type=Path), help="Folder for the records.")
