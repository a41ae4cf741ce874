"""The command that asks what a sweep left open: larger batches, each with a rate of its own."""

from __future__ import annotations

import re
from typing import Any

from fastbs.analysis.arms import planned_weight_decay
from fastbs.analysis.command_words import budget_words, number_word, option_words, run_words
from fastbs.config import SweepConfig


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
    command += ["--lr-at", str(smallest), "--lr", number_word(rows[0]["lr"])]
    decay = planned_weight_decay(SweepConfig.from_json(config), smallest, rows[0]["lr"])
    command += [*budget_words(run), *run_words(run | {"weight_decay": decay}, summary["dataset"]["train"])]
    for name in ("images", "hours", "weight_decay_rule"):
        default = getattr(SweepConfig, name)
        command += option_words(name, config.get(name, default), default)
    command += [] if config["controls"] else ["--no-controls"]
    command += ["--stop-dominated"] if config["stop_dominated"] else []
    return [*command, "--seeds", str(config["seeds"]), "--out", f"runs/{_folder(summary)}-{suffix}"]


def _folder(summary: dict[str, Any]) -> str:
    return re.sub(r"[^\w.-]+", "-", summary["dataset"]["name"]).strip("-.") or "sweep"
