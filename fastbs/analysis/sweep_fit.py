"""The step-time curve through what was measured, of a sweep or a bench."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from fastbs.analysis.evidence import Evidence
from fastbs.analysis.step_time import StepTimeFit, fit_step_times_by_process


def fit_sweep(evidence: Evidence) -> StepTimeFit | str:
    """The curve through the step times of all main runs that are ok, or the sentence that says why there is none."""
    steps = {s.batch_size: evidence.measured(s, lambda result: result.step_seconds) for s in evidence.sizes}
    return fit_steps({size: by_seed for size, by_seed in steps.items() if by_seed}, nothing="no run is ok")


def fit_steps(steps: Mapping[int, Mapping[int, float]], nothing: str) -> StepTimeFit | str:
    """The curve through steps[batch size, rising][seed or round], seconds, or the sentence that says why there is none.

    Those that have every size are the processes that the intervals come from; without one, the geometric mean of what
    each size has is fitted, and there are no intervals. `nothing` is the sentence for no step at all.
    """
    if not steps:
        return nothing
    complete = sorted(set.intersection(*(set(by_seed) for by_seed in steps.values())))
    seconds = [[by_seed[seed] for by_seed in steps.values()] for seed in complete]
    try:
        fit = fit_step_times_by_process(
            list(steps), seconds or [[statistics.geometric_mean(by_seed.values()) for by_seed in steps.values()]]
        )
    except ValueError as error:
        return str(error)
    if fit.beta == 0:
        return f"a step takes no longer at batch {max(steps)} than at {min(steps)}; larger sizes would show the line"
    return fit


def fit_document(fit: StepTimeFit | str) -> dict[str, Any]:
    """`fit` in summary.json and in bench files: milliseconds, images, fractions; intervals [low, high] over processes.

    An interval is null where nothing bounds it. Without a fit every value is null and "reason" says why; with one,
    "reason" is null.
    """
    found = fit if isinstance(fit, StepTimeFit) else None
    return {
        "alpha_ms": found and 1e3 * found.alpha,
        "beta_ms": found and 1e3 * found.beta,
        "b_half": found and found.b_half,
        "max_residual": found and found.max_residual,
        "host_ms": found and 1e3 * found.host,
        "batch_sizes": found and list(found.batch_sizes),
        "residuals": found and list(found.residuals),
        "processes": found and max(1, len(found.processes)),
        "alpha_ms_interval": found and found.interval(lambda f: 1e3 * f.alpha).bounds(),
        "beta_ms_interval": found and found.interval(lambda f: 1e3 * f.beta).bounds(),
        "b_half_interval": found and found.interval(lambda f: f.b_half).bounds(),
        "reason": None if found else fit,
    }
