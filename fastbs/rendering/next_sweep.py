"""The command that asks what a sweep left open: larger batches, each with a rate of its own."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from fastbs.config import RunConfig, SweepConfig

# Set apart below, or chosen anew by the machine that runs the command.
APART = {"data", "batch_size", "seed", "lr", "epochs", "updates", "device"}
ONLY_IN_FILES = {"beta2", "eval_batch_size", "noise_share"}  # settings without an option: they need --config


def next_sweep(summary: dict[str, Any]) -> list[str] | None:
    """The words of a `fastbs sweep` with this sweep's settings, resolved; None when there is nothing larger to try.

    Sizes go on from the largest one, at most sixteenfold and to no less than eight updates an epoch. The rate is this
    sweep's at its smallest size, from there in proportion to the size. A training set too small for more is swept
    again with that rate, unless this sweep had it.
    """
    config, run, rows = summary["config"], summary["config"]["run"], summary["rows"]
    smallest, largest = rows[0]["batch_size"], rows[-1]["batch_size"]
    last = largest
    while last * 2 <= min(largest * 16, summary["dataset"]["train"] // 8):
        last *= 2
    if last > largest:
        sizes, suffix = f"{largest}..{last}x2", f"larger-than-{largest}"  # of each sweep its own folder
    elif config["lr_rule"] != "linear" and len(rows) > 1:
        sizes, suffix = ",".join(str(row["batch_size"]) for row in rows), "linear"
    else:
        return None
    command = ["fastbs", "sweep", run["data"], "--batch-sizes", sizes, "--lr-rule", "linear"]
    command += ["--lr-at", str(smallest), "--lr", _number(rows[0]["lr"])]
    budget = "updates" if run["updates"] else "epochs"
    command += [f"--{budget}", _number(run[budget]), *_settings(run, summary["dataset"]["train"])]
    for name in ("images", "hours"):
        command += _option(name, config[name], getattr(SweepConfig, name))
    command += [] if config["controls"] else ["--no-controls"]
    command += ["--stop-dominated"] if config["stop_dominated"] else []
    return [*command, "--seeds", str(config["seeds"]), "--out", f"runs/{_folder(summary)}-{suffix}"]


def _settings(run: dict[str, Any], train_images: int) -> list[str]:
    words = []
    for field in dataclasses.fields(RunConfig):
        once_an_epoch = field.name == "eval_images" and run[field.name] == train_images
        if field.name not in APART | ONLY_IN_FILES and not once_an_epoch:
            words += _option(field.name, run[field.name], field.default)
    return words


def _option(name: str, value: Any, default: Any) -> list[str]:
    if value == default:
        return []
    option = f"--{name.replace('_', '-')}"
    return [option] if value is True else [option, _number(value)]


def _number(value: Any) -> str:
    """Every digit that counts: 5.0 -> "5", 0.001 -> "0.001"; words stay."""
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _folder(summary: dict[str, Any]) -> str:
    return re.sub(r"[^\w.-]+", "-", summary["dataset"]["name"]).strip("-.") or "sweep"
