"""What other batch sizes would have cost: a row for every one that anybody measured, and for the recommended one."""

from __future__ import annotations

import math
from typing import Any

from fastbs.analysis.advice.curve import Curve
from fastbs.analysis.advice.material import SizeFacts
from fastbs.analysis.advice.prices import Prices
from fastbs.analysis.advice.rates import rate_at
from fastbs.analysis.advice.refusal import usual_rule


def counterfactuals(prices: Prices, recommended: int | None, best: float | None) -> list[dict[str, Any]]:
    """Rows by batch size; units as in summary.json, null where nothing is known.

    "measured": whether runs to the target stand behind the row. "seconds" is what they took, as `SizeFacts.seconds`
    says; "curve_seconds" what the curve says. "vs_best" is the time over that of the fastest size within the limits
    - 1, by the curve where there is one (`best` in its unit, else in seconds); null where it cannot be said.
    """
    material = prices.material
    sizes = {size.batch_size for size in material.sizes} | ({recommended} if recommended else set())
    return [_row(prices, size, recommended, best) for size in sorted(sizes)]


def _row(prices: Prices, batch_size: int, recommended: int | None, best: float | None) -> dict[str, Any]:
    material, curve = prices.material, prices.curve
    size = material.at(batch_size) or SizeFacts(batch_size)
    costs, images = prices.costs(batch_size), prices.images(batch_size)
    spoken = isinstance(curve, Curve) and curve.covers(batch_size)
    seconds = prices.measured_seconds(size) if size.trainings else None
    measured = seconds is not None and not material.elsewhere
    interval = size.times.median_range if measured and size.all_reached and size.times.n > 1 else None
    step = _step(prices, batch_size)
    rule = material.config.lr_rule if material.confounded else usual_rule(material)
    return {
        "batch_size": batch_size,
        "measured": measured,
        "recommended": batch_size == recommended,
        "status": size.status,
        "status_counts": dict(size.status_counts),
        "reason": size.reason,
        "lr": rate_at(material.config, batch_size, rule),
        "images_per_second": batch_size / step if step else None,
        "images_to_target": images,
        "epochs_to_target": images / prices.image_factor / material.dataset["train"] if images else None,
        "seconds": seconds,
        "seconds_interval": interval and [end and end * prices.image_factor for end in interval],
        "seconds_coverage": size.times.median_coverage if interval else None,
        "curve_seconds": prices.seconds(batch_size) if spoken else None,
        "vs_best": _vs_best(prices, batch_size, size, best),
        "memory_bytes": None if costs.memory_bytes is None else round(costs.memory_bytes),
        "energy_joules": costs.joules,
        "success": {
            "reached": size.times.reached,
            "runs": size.times.n,
            "interval": list(size.times.success_interval) if size.times.n else None,
        },
        "keeps_limits": prices.limits.hold(costs),
        "refused": None if prices.is_late(size) else _refused(size),
    }


def _step(prices: Prices, batch_size: int) -> float | None:
    means = prices.material.step_means
    if not means or not min(means) <= batch_size <= max(means):
        return None
    return prices.material.step_curve.seconds(batch_size)


def _vs_best(prices: Prices, batch_size: int, size: SizeFacts, best: float | None) -> float | None:
    if best is None or (prices.broken(size) and not size.times.reached):
        return None
    if isinstance(prices.curve, Curve):
        known = prices.curve.covers(batch_size) or size.reliable
        cost = prices.weight(batch_size) if known else math.nan
    else:
        cost = prices.measured_seconds(size) or math.nan
    return cost / best - 1 if math.isfinite(cost) else None


def _refused(size: SizeFacts) -> str | None:
    """Why a size is not recommended whatever its time."""
    if size.status == "oom":
        return "out of memory"
    if size.failed and size.status == "stopped":
        return "stopped: dominated"
    if size.times.n and 2 * size.times.reached < size.times.n:
        return f"{size.times.n - size.times.reached} of {size.times.n} runs missed the target"
    return size.status if size.failed else None
