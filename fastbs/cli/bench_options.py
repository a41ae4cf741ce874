"""What bench, ab and calibrate measure, as options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fastbs.cli.options import BatchSizes, Command, given
from fastbs.errors import BadInput


class Names(click.ParamType[tuple[str, ...]]):
    """One or several of a kind, separated by commas."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        return value if isinstance(value, tuple) else tuple(dict.fromkeys(str(value).split(",")))


def bench_options(command: Command) -> Command:
    """What is measured, and how, in one process. All default to None: unset is `BenchPlan`'s default."""
    for option in reversed(
        [
            click.option(
                "--batch-sizes", type=BatchSizes(), help="1,2,4,8 or 8..1024x2 or both mixed.  [default: 1..8x2,32,128]"
            ),
            click.option("--data", type=click.Path(path_type=str), help="Folder of images; none: synthetic input."),
            click.option(
                "--model", "models", type=Names(), help="One or several: small, resnet18, ...; see fastbs train --help."
            ),
            click.option("--precision", "precisions", type=Names(), help="fp32, tf32, bf16, fp16; one or several."),
            click.option("--loader", "loaders", type=Names(), help="dali, resident, torch, synthetic; one or several."),
            click.option("--step", "steps", type=Names(), help="eager, compile; one or both."),
            click.option(
                "--allocator", "allocators", type=Names(), help="CPU: fastbs (ours), default (the C library's) or both."
            ),
            click.option("--optimizer", type=click.Choice(["sgd", "adamw"])),
            click.option("--norm", type=click.Choice(["group", "batch", "none"]), help="Normalisation layers."),
            click.option("--image-size", type=int, help="Side of the images that the net sees, pixels."),
            click.option(
                "--augment", type=click.Choice(["none", "crop-flip", "random-resized"]), help="Of real images."
            ),
            click.option("--classes", type=int, help="Of synthetic input."),
            click.option("--device", type=click.Choice(["cpu", "cuda"])),
            click.option("--threads", type=int, help="Compute threads."),
            click.option("--loader-threads", type=int),
            click.option("--blocks", type=int, help="Timed blocks in each process.  [default: 5; in turns 20]"),
            click.option("--block-seconds", type=float, help="Their length, about.  [default: 0.5; in turns 0.1]"),
            click.option(
                "--function",
                help="Your own step (question step): module:name or file.py:name; see fastbs.measure_step.",
            ),
        ]
    ):
        command = option(command)
    return command


QUESTION = click.option(
    "--question",
    type=click.Choice(["throughput", "update", "data", "inference", "step"]),
    default="throughput",
    show_default=True,
)


# Of a pair that takes turns: short blocks, so that what disturbs the machine disturbs both.
IN_TURNS = {"blocks": 20, "block_seconds": 0.1, "detail": False}


def bench_plan(question: str, options: dict[str, Any]) -> dict[str, Any]:
    """A `BenchPlan` as JSON for measuring in turns, checked, that means the same in every folder."""
    from fastbs.bench.plan import BenchPlan

    plan = {"questions": [question], **IN_TURNS, **given(options)}
    if "data" in plan:
        plan["data"] = str(Path(plan["data"]).resolve())
    BenchPlan.from_json(plan, "options")
    return plan


def setting(text: str) -> tuple[str, Any]:
    """KEY=VALUE, an option of the above without its dashes, as key and value of a `BenchPlan`; BadInput otherwise."""
    name, equals, value = text.partition("=")
    known = {option.opts[0].removeprefix("--"): option for option in click.command()(bench_options(_nothing)).params}
    if not equals or name not in known or name == "batch-sizes":
        keys = ", ".join(sorted(known.keys() - {"batch-sizes"}))
        raise BadInput(f"{text}: write KEY=VALUE; known keys: {keys}")
    try:
        found = known[name].type.convert(value, known[name], None)
    except click.BadParameter as error:
        raise BadInput(f"{text}: {error.message}") from error
    if name == "data":
        found = str(Path(found).resolve())
    return str(known[name].name), list(found) if isinstance(found, tuple) else found


def _nothing() -> None: ...
