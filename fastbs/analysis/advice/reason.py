"""Why this batch size: what the hardware says, what the data say, and the two together."""

from __future__ import annotations

from typing import Any

from fastbs.analysis.advice.choose import Choice
from fastbs.analysis.advice.curve import Curve
from fastbs.analysis.advice.material import Material
from fastbs.analysis.advice.prices import Prices
from fastbs.analysis.interval import Interval
from fastbs.analysis.optimum import TOLERANCE, closed_form
from fastbs.analysis.phrases import listed, percent
from fastbs.analysis.step_time import StepTimeFit

SOURCES = {"sweep": "the runs", "bench": "the bench", "another machine": "the bench of the other machine"}
OPEN = 10  # times its lower end: a noise scale less well known than that is not mentioned
POOR_LINE = 0.05  # residual of the step time above which there may be a cliff


def hardware(material: Material) -> str:
    fit = material.step_fit
    source = SOURCES[material.steps_from]
    if not isinstance(fit, StepTimeFit):
        return f"no line through the step times of {source}: {fit}"
    floor = f", never below {1e3 * fit.host:.3g} ms (host)" if fit.host else ""
    rough = " (measured times are used: there are cliffs)" if fit.max_residual > POOR_LINE else ""
    waits = [size.input_wait for size in material.sizes if size.input_wait is not None]
    wait = f"; input wait at most {percent(max(waits))}" if waits else ""
    return (
        f"step = {1e3 * fit.alpha:.3g} ms + {1e3 * fit.beta:.3g} ms/image{floor}, from {source}, "
        f"B_half {images_interval(fit.interval(lambda f: f.b_half))}; "
        f"max residual {percent(fit.max_residual)}{rough}{wait}"
    )


def data(material: Material, curve: Curve | str) -> str:
    if not isinstance(curve, Curve):
        return f"no critical batch size: {curve}"
    if curve.noise is not None:
        drawn = f"noise scale, {curve.noise.draws} draws at batch {material.noise_at}; not verified"
        if curve.noise.lower_bound_only:
            return f"B_crit above {curve.noise.low:,.3g} ({drawn}); that bound is used"
        return f"B_crit about {images_interval(curve.b_crit)} ({drawn})"
    assert curve.samples is not None
    fit = curve.samples
    said = f"B_crit {images_interval(curve.b_crit)}, from the images to the target at batch {listed(fit.batch_sizes)} "
    said += f"({material.config.lr_rule} rates); rms residual {percent(fit.rms_log_residual)}"
    broken = f"; batch {listed(fit.breaks_law_at)} needs more than the law says" if fit.breaks_law_at else ""
    scale = material.noise_interval
    known = scale is not None and scale.low > 0 and (scale.high <= OPEN * scale.low or not scale.bounded)
    noise = f"; the noise scale is {images_interval(scale)}" if scale and known else ""
    return said + broken + noise


def together(prices: Prices, choice: Choice, limit: str | None) -> str:
    curve, fit = prices.curve, prices.material.step_fit
    if not isinstance(curve, Curve) or choice.optimum is None:
        return f"batch {choice.batch_size} is the smallest measured within {percent(TOLERANCE)} of the fastest"
    form = formula(curve, prices.material)
    near = ""
    if form is not None and isinstance(fit, StepTimeFit):
        near = f"sqrt(B_half x B_crit) = sqrt({fit.b_half:.3g} x {curve.law[0] / curve.law[1]:.3g}) = {form:.3g}; "
    within = f" within the {named(limit)}" if limit else ""
    return (
        f"{near}from the step times fastest at {choice.optimum.batch_size:.3g}{within}, and within "
        f"{percent(TOLERANCE)} of that from {choice.low} to {choice.high}"
    )


def formula(curve: Curve | str, material: Material) -> float | None:
    """The closed form; None where it does not hold: a floor, no line, no critical batch size."""
    fit = material.step_fit
    if not isinstance(curve, Curve) or not isinstance(fit, StepTimeFit) or fit.host or not all(curve.law):
        return None
    return closed_form(curve.law[0] / curve.law[1], fit.b_half) or None


def named(limit: str) -> str:
    return limit.replace("_", " ")


def images_interval(value: Interval) -> str:
    """ "35 [33, 37]", "above 14" where there is no upper end, "35" where nothing bounds it."""
    if value.low > 0 and value.high == float("inf"):
        return f"above {value.low:,.3g}"
    ends = f" [{value.low:,.3g}, {value.high:,.3g}]" if value.bounded else ""
    return f"{value.estimate:,.3g}{ends}"


def reasons(prices: Prices, choice: Choice | None, limit: str | None) -> dict[str, Any]:
    return {
        "hardware": hardware(prices.material),
        "data": data(prices.material, prices.curve),
        "together": together(prices, choice, limit) if choice else None,
    }
