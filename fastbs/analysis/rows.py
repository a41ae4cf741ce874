"""One row of the table: what a batch size costs and earns, over its seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fastbs.analysis.arms import planned_updates
from fastbs.analysis.censored import describe_times
from fastbs.analysis.evidence import PENDING, Evidence, Setting
from fastbs.analysis.hit import Hit
from fastbs.analysis.interval import Interval
from fastbs.analysis.paired import paired_ratio
from fastbs.analysis.student_t import mean_interval
from fastbs.results.record import RunRecord

WORST_FIRST = ("failed", "oom", "unsupported", "diverged", "stopped", "missed", PENDING)


def make_row(evidence: Evidence, setting: Setting) -> dict[str, Any]:
    """The row of `setting`: means over the runs that are ok, null where there is none; keys as in summary.json.

    Units: seconds, `_ms` milliseconds, bytes, joules, fractions. Intervals are [low, high], 95 %, over runs (each a
    process of its own), null with fewer than two. `status` is "ok" when every planned run is, else the worst there is.
    "time_ratio" is null where runs ended at unequal budgets.
    """
    runs = evidence.ok(setting)
    results = [run.result for run in runs if run.result]
    counts = evidence.status_counts(setting)
    updates = _updates(evidence, setting)
    step = _geometric([result.step_seconds for result in results])
    hits = evidence.hits(setting, evidence.target) if evidence.target is not None else {}
    reached = [hit for hit in hits.values() if hit]
    times = describe_times(
        [hit.train_seconds if hit else None for hit in hits.values()], _spent(evidence, setting, hits)
    )
    seconds, base = evidence.train_seconds(setting), evidence.train_seconds(evidence.smallest)
    ratio = None if evidence.unequal else paired_ratio(seconds, base)
    top1 = [run.last.top1 for run in runs]
    return {
        "batch_size": setting.batch_size,
        "status": next((status for status in WORST_FIRST if status in counts), "ok"),
        "status_counts": counts,
        "n": len(runs),
        "lr": evidence.lr(setting),
        "updates": updates,
        "images_per_second": setting.batch_size / step.estimate if step else None,
        "step_ms": 1e3 * step.estimate if step else None,
        "update_share": update_share(evidence, setting),
        "train_seconds": _mean(result.train_seconds for result in results),
        "wall_seconds": _mean(result.wall_seconds for result in results),
        "time_ratio": ratio.estimate if ratio else None,
        "train_top1_mean": _mean(run.last.train_top1 for run in runs),
        "top1_mean": _mean(top1),
        "top1_sd": statistics.stdev(top1) if len(top1) > 1 else None,
        "time_to_target_s": evidence.median_time_to_target(setting),
        "targets_reached": None if evidence.target is None else len(reached),
        "peak_memory_bytes": max((result.peak_memory_bytes for result in results), default=None),
        "energy_joules": _mean(result.energy_joules for result in results if result.energy_joules is not None),
        "images": updates * setting.batch_size,
        "step_ms_interval": _bounds(step.mapped(lambda seconds: 1e3 * seconds) if step else None),
        "time_ratio_interval": _bounds(ratio),
        "top1_interval": _bounds(mean_interval(top1, evidence.resolution) if top1 else None),
        "balanced_top1_mean": _mean(run.last.balanced_top1 for run in runs),
        "input_wait_share": input_wait_share(evidence, setting),
        "under_trained": evidence.under_trained(setting),
        "skipped_updates": sum(result.skipped_updates for result in results) if results else None,
        "runs_to_target": len(hits),
        "success_interval": list(times.success_interval) if hits else None,
        "time_to_target_range": times.median_range,
        "time_to_target_coverage": times.median_coverage,
        "time_to_target_wall_s": evidence.median_to_target(setting, lambda hit: hit.wall_seconds),
        "time_to_target_half_step_s": _median(hit.half_train_seconds for hit in reached),
        "expected_time_to_target_s": times.expected,
        "images_to_target": evidence.median_to_target(setting, lambda hit: hit.images),
        "reason": _reason(evidence.records(setting)),
    }


def _updates(evidence: Evidence, setting: Setting) -> int:
    """As planned; where runs end at a target or a time, the median of those that are ok."""
    made = [run.result.updates for run in evidence.ok(setting) if run.result]
    if made and (evidence.until_target or evidence.config.run.seconds is not None):
        return round(statistics.median(made))
    return planned_updates(evidence.config, *setting, evidence.dataset["train"])


def _spent(evidence: Evidence, setting: Setting, hits: Mapping[int, Hit | None]) -> list[float]:
    """Training seconds of each run up to its hit, or to its end; infinite where a record does not say."""
    whole = {run.seed: run.result.train_seconds for run in evidence.records(setting) if run.result}
    return [hit.train_seconds if hit else whole.get(seed, math.inf) for seed, hit in hits.items()]


def update_share(evidence: Evidence, setting: Setting) -> float | None:
    """The optimizer's part of a step: median over ok runs, None where none was long enough to sample it."""
    results = [run.result for run in evidence.ok(setting) if run.result]
    return _median(r.update_seconds / r.step_seconds for r in results if r.update_seconds is not None)


def input_wait_share(evidence: Evidence, setting: Setting) -> float | None:
    """Part of the training time in which the step waited for its batch: median over ok runs."""
    return _median(evidence.measured(setting, lambda r: r.input_wait_seconds / r.train_seconds).values())


def _reason(records: Iterable[RunRecord]) -> str | None:
    """What those that know said of the runs that are not ok: "diverged: ... (seed 3)"; None where nobody did."""
    seeds: dict[str, list[int]] = {}
    for run in records:
        if run.status != "ok" and run.reason is not None:
            seeds.setdefault(f"{run.status}: {run.reason}", []).append(run.seed)
    said = [f"{what} ({_seeds(which)})" for what, which in seeds.items()]
    return "; ".join(said) if said else None


def _seeds(which: list[int]) -> str:
    return f"seed{'s' if len(which) > 1 else ''} {', '.join(map(str, which))}"


def _mean(values: Iterable[float]) -> float | None:
    return _apply(statistics.fmean, values)


def _median(values: Iterable[float]) -> float | None:
    return _apply(statistics.median, values)


def _apply(function: Callable[[list[float]], float], values: Iterable[float]) -> float | None:
    sample = list(values)
    return float(function(sample)) if sample else None


def _geometric(values: list[float]) -> Interval | None:
    return mean_interval(map(math.log, values)).mapped(math.exp) if values else None


def _bounds(interval: Interval | None) -> list[float] | None:
    return interval.bounds() if interval else None
