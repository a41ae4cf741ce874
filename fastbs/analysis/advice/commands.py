"""Commands to paste: the training that is recommended, and sweeps that would tell more."""

from __future__ import annotations

import dataclasses
import math
import re

from fastbs.analysis.advice.material import Material
from fastbs.analysis.arms import planned_beta2, planned_lr, planned_weight_decay
from fastbs.analysis.command_words import budget_words, number_word, option_words, run_words
from fastbs.config import LrRule, RunConfig, SweepConfig


def train_words(material: Material, config: SweepConfig, batch_size: int, longer: float = 1) -> list[str]:
    """`fastbs train` at a batch size with the rate of `config`, as the user set them up; `longer`: budget, times."""
    run = material.requested.run.replace(target=material.target, noise_scale=False)
    run = _longer(run, longer) if longer > 1 else run
    rate = planned_lr(config, "main", batch_size)
    decay = planned_weight_decay(config, batch_size, rate)
    decay = decay if decay == run.weight_decay else _rounded(decay)
    own = run.replace(batch_size=batch_size, beta2=planned_beta2(config, batch_size), weight_decay=decay)
    words = ["fastbs", "train", run.data, "--batch-size", str(batch_size), "--lr", number_word(_rounded(rate))]
    return [*words, *budget_words(own.to_json()), *run_words(own.to_json(), material.dataset["train"])]


def sweep_words(
    material: Material, *, lr_rule: LrRule | None = None, longer: float = 1, sizes: tuple[int, ...] | None = None
) -> list[str]:
    """The sweep of `material` again, at its target, with what is said changed."""
    sweep = material.requested
    rule = lr_rule or sweep.lr_rule
    run = sweep.run.replace(target=material.target)
    if longer != 1:
        run = _longer(run, longer)
    run = run.replace(seconds=run.seconds and float(math.ceil(run.seconds)))
    at = sweep.lr_at or sweep.batch_sizes[0]
    words = ["fastbs", "sweep", run.data, "--batch-sizes", ",".join(map(str, sizes or sweep.batch_sizes))]
    words += ["--seeds", str(max(sweep.seeds, 3))]
    if rule == "given":
        words += ["--lrs", ",".join(f"{size}:{number_word(lr)}" for size, lr in sweep.lrs)]
        words += ["--lr-at", str(sweep.lr_at)] if sweep.lr_at else []
    else:
        words += ["--lr-rule", rule, "--lr-at", str(at), "--lr", number_word(dict(sweep.lrs).get(at, run.lr))]
    words += [*budget_words(run.to_json()), *run_words(run.to_json(), material.dataset["train"])]
    words += option_words("weight_decay_rule", sweep.weight_decay_rule, SweepConfig.weight_decay_rule)
    words += [] if sweep.controls else ["--no-controls"]
    words += ["--stop-dominated"] if sweep.stop_dominated else []
    return [*words, "--out", f"runs/{_folder(material)}-{_suffix(rule, longer, sizes)}"]


def verify_words(material: Material, file: str, sizes: tuple[int, ...], seeds: int) -> list[str]:
    words = ["fastbs", "sweep", material.requested.run.data, "--from-advice", file]
    return [*words, "--batch-sizes", ",".join(map(str, sizes)), "--seeds", str(seeds)]


def _longer(run: RunConfig, factor: float) -> RunConfig:
    return dataclasses.replace(
        run,
        updates=run.updates and round(run.updates * factor),
        epochs=run.epochs * factor,
        seconds=run.seconds and run.seconds * factor,
    )


def _rounded(rate: float) -> float:
    """To four digits that count: more are no better known."""
    return float(f"{rate:.4g}")


def _suffix(rule: LrRule, longer: float, sizes: tuple[int, ...] | None) -> str:
    return f"{rule}-longer" if longer != 1 else f"{rule}-{sizes[0]}-to-{sizes[-1]}" if sizes else f"{rule}-again"


def _folder(material: Material) -> str:
    return re.sub(r"[^\w.-]+", "-", str(material.dataset.get("name"))).strip("-.") or "sweep"
