"""A sweep, or a pilot of one size, as material for advice."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastbs.analysis.advice.material import Material, SizeFacts, Training
from fastbs.analysis.arms import MAIN
from fastbs.analysis.evidence import PENDING, Evidence, Setting
from fastbs.analysis.hit import find_hit
from fastbs.analysis.noise_scale import NoiseScale, noise_scale
from fastbs.analysis.phrases import top1
from fastbs.analysis.rate_error import rate_error
from fastbs.analysis.rows import WORST_FIRST, input_wait_share
from fastbs.config import RunConfig, SweepConfig
from fastbs.errors import BadInput
from fastbs.results.checked import Checked
from fastbs.results.measurement_files import MeasurementFile
from fastbs.results.record import NoiseDraw, RunRecord

TRAINED = ("ok", "missed", "diverged")  # to an end that says whether the target was reached
LATE = 0.5  # part of a training after which its noise scale counts: it grows from the first weights on ...
FEWEST_DRAWS = 3  # ... if there are so many


def from_sweep(file: MeasurementFile, target: float | None) -> Material:
    """What the main runs of a sweep say about `target`, by default its own. BadInput names the key at fault."""
    try:
        return _material(file, target)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadInput(f"{file.name}: a damaged sweep ({type(error).__name__}: {error}); make it again") from error


def _beyond_pilot(config: SweepConfig) -> SweepConfig:
    """Without a pilot's own: its seconds are what was left of a budget, and its draws take more time than others'."""
    if config.run.noise_share == RunConfig.noise_share:
        return config
    return replace(config, run=config.run.replace(seconds=None, noise_share=RunConfig.noise_share))


def _material(file: MeasurementFile, target: float | None) -> Material:
    plan = file.document
    config = SweepConfig.from_json(plan["resolved"], file.name)
    requested = _beyond_pilot(SweepConfig.from_json(plan.get("requested", plan["resolved"]), file.name))
    checked = Checked(plan, file.name)
    for images in ("train", "validation"):
        checked["dataset"][images].count()
    planned = [(run["arm"], run["config"]["batch_size"], run["config"]["seed"]) for run in plan["runs"]]
    evidence = Evidence(config, plan["dataset"], file.runs, planned)
    goal = target or config.run.target
    if goal is None:
        raise BadInput(f"{file.name}: the sweep has no target; give one that its runs reached{_reached(evidence)}")
    noise, noise_at = _noise(file.runs)
    return Material(
        sizes=tuple(_size(evidence, setting, goal) for setting in evidence.sizes),
        config=config,
        requested=requested,
        dataset=plan["dataset"],
        machine=plan["machine"],
        norm=plan.get("norm"),
        target=goal,
        noise=noise,
        noise_at=noise_at,
        best_top1=max((e.top1 for run in file.runs if run.arm == MAIN for e in run.evaluations), default=None),
        warnings=tuple(_under_tuned(plan.get("tuning") or [])),
        rate_error=rate_error(plan.get("tuning") or []) if config.lr_rule == "tuned" else 0.0,
    )


def _size(evidence: Evidence, setting: Setting, target: float) -> SizeFacts:
    runs = [run for run in evidence.records(setting) if run.status in TRAINED and not run.shared]
    ended = [run for run in runs if run.status != "diverged" and run.result]
    counts = evidence.status_counts(setting)
    joules = [r.energy_joules / r.images for run in ended if (r := run.result) and r.energy_joules is not None]
    said = [f"{run.reason} (seed {run.seed})" for run in evidence.records(setting) if run.status != "ok" and run.reason]
    return SizeFacts(
        batch_size=setting.batch_size,
        status=next((status for status in WORST_FIRST if status in counts), "ok"),
        status_counts=counts,
        reason="; ".join(said) or None,
        trainings={run.seed: _training(run, target, evidence.config.run.hold) for run in runs},
        steps={run.seed: run.result.step_seconds for run in ended if run.result and run.result.step_seconds > 0},
        memory_bytes=max((run.result.peak_memory_bytes for run in ended if run.result), default=None),
        joules_per_image=statistics.fmean(joules) if joules else None,
        input_wait=input_wait_share(evidence, setting),
    )


def _training(run: RunRecord, target: float, hold: int) -> Training:
    """A diverged run is a miss even when it had been there before; one that missed another target may hold this one."""
    hit = find_hit(run.evaluations, target, hold) if run.status != "diverged" else None
    if hit:
        return Training(hit, hit.train_seconds, hit.images)
    last = run.evaluations[-1] if run.evaluations else None
    spent = (last.train_seconds, last.images) if last else (0.0, 0)
    return Training(None, *spent, diverged=run.status == "diverged")


def _noise(runs: Sequence[RunRecord]) -> tuple[NoiseScale | None, int | None]:
    """That of the main runs at the size with most draws: of their later half, or of all where that has too few."""
    draws: dict[int, list[NoiseDraw]] = {}
    late: dict[int, list[NoiseDraw]] = {}
    for run in runs:
        if run.arm == MAIN and run.noise:
            whole = max([draw.images for draw in run.noise] + [evaluation.images for evaluation in run.evaluations])
            draws.setdefault(run.batch_size, []).extend(run.noise)
            late.setdefault(run.batch_size, []).extend(draw for draw in run.noise if draw.images > LATE * whole)
    if not draws:
        return None, None
    size = max(draws, key=lambda size: (len(late[size]), len(draws[size]), -size))
    return noise_scale(late[size] if len(late[size]) >= FEWEST_DRAWS else draws[size]), size


def _reached(evidence: Evidence) -> str:
    """A target for the asking: what the last evaluations of all runs that are ok hold."""
    last = [value for setting in evidence.sizes for value in evidence.top1(setting).values()]
    goal = math.floor(100 * min(last, default=0.0)) / 100
    return f": --target {top1(goal)} was held by all" if goal > 0 else " with --target"


def _under_tuned(tuning: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"batch {search['batch_size']} is under-tuned: the best of its rates lies at the end of the grid"
        for search in tuning
        if not search["interior"]
    ]


def pending(material: Material) -> int:
    """Planned runs that have not ended."""
    return sum(size.status_counts.get(PENDING, 0) for size in material.sizes)
