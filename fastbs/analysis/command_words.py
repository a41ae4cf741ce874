"""The settings of a run as words of a command that can be pasted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from fastbs.config import RunConfig

# Set apart by each command, or chosen anew by the machine that runs it.
APART = {"data", "batch_size", "seed", "lr", "epochs", "updates", "device"}
ONLY_IN_FILES = {"eval_batch_size", "noise_share"}  # settings without an option: they need --config


def run_words(run: Mapping[str, Any], train_images: int) -> list[str]:
    """All that is not the default's, but for what stands apart; an evaluation once an epoch is the default."""
    words = []
    for field in dataclasses.fields(RunConfig):
        once_an_epoch = field.name == "eval_images" and run[field.name] == train_images
        if field.name not in APART | ONLY_IN_FILES and not once_an_epoch:
            words += option_words(field.name, run[field.name], field.default)
    return words


def budget_words(run: Mapping[str, Any]) -> list[str]:
    """["--epochs", "10"], or the updates where they were given."""
    budget = "updates" if run["updates"] else "epochs"
    return [f"--{budget}", number_word(run[budget])]


def option_words(name: str, value: Any, default: Any) -> list[str]:
    """["--warmup-images", "500"]; nothing for the default."""
    if value == default:
        return []
    option = f"--{name.replace('_', '-')}"
    return [option] if value is True else [option, number_word(value)]


def number_word(value: Any) -> str:
    """Every digit that counts: 5.0 -> "5", 0.001 -> "0.001"; words stay."""
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)
