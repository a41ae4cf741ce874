"""The advice: one document from all that is known."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass, replace
from typing import Any

from fastbs.analysis.advice.choose import Choice, binding, choose, what_would_have_to_give
from fastbs.analysis.advice.commands import train_words
from fastbs.analysis.advice.counterfactuals import counterfactuals
from fastbs.analysis.advice.curve import Curve, make_curve
from fastbs.analysis.advice.energy import least_energy
from fastbs.analysis.advice.fastest import fastest_measured
from fastbs.analysis.advice.limits import Limits
from fastbs.analysis.advice.material import Material
from fastbs.analysis.advice.prices import Prices
from fastbs.analysis.advice.rates import with_rate
from fastbs.analysis.advice.reason import formula, reasons
from fastbs.analysis.advice.refusal import Refusal, refusal, usual_rule
from fastbs.analysis.advice.unknown import unknown, verification
from fastbs.analysis.card import Card, make_card
from fastbs.analysis.interval import Interval
from fastbs.analysis.step_time import StepTimeFit
from fastbs.config import SweepConfig
from fastbs.errors import BadInput
from fastbs.results.files import SCHEMA

FINE, LIMITS, TOO_LITTLE = 0, 1, 4  # exit codes
ENOUGH = 1.5  # times the images that a size needs by the law: seeds differ


@dataclass(frozen=True)
class Advised:
    """What stands at the head of the document, or why nothing does."""

    choice: Choice | None = None
    free: Choice | None = None  # without limits
    refusal: Refusal | None = None

    @property
    def exit_code(self) -> int:
        return TOO_LITTLE if self.refusal else LIMITS if self.choice is None else FINE


def advise(material: Material, limits: Limits | None = None, *, file: str = "advice.json") -> dict[str, Any]:
    """The document of kind "advice"; `file` is where it will be kept, for the command that verifies it.

    "exit_code" is 0 with a recommendation, 1 where no size keeps the limits ("give" says what would have to), and 4
    where there is too little to go by ("refused" says why, and what to run next). Numbers are not rounded; null where
    there is no evidence, never NaN or infinite. BadInput for a limit on something that no record has measured.
    """
    limits = limits or Limits()
    refused = refusal(material, limits)
    curve = "none follows from these runs" if refused else make_curve(material)
    prices = Prices(material, curve, limits)
    if refused:
        return _document(prices, Advised(refusal=refused), file)
    _require_known(prices)
    choice = choose(prices)
    free = choose(Prices(material, curve, Limits(images=limits.images))) if limits.asked() else choice
    return _document(prices, Advised(choice, free), file)


def _require_known(prices: Prices) -> None:
    for name in prices.limits.asked():
        if all(prices.costs(size).by_limit()[name] is None for size in prices.candidates):
            what = {"deadline": "time to the target", "max_memory": "memory", "max_energy": "energy"}[name]
            raise BadInput(f"{name.replace('_', '-')}: no record has measured {what}; leave the limit out")


def _document(prices: Prices, advised: Advised, file: str) -> dict[str, Any]:
    material, choice = prices.material, advised.choice
    fastest = None if advised.refusal or material.elsewhere else fastest_measured(material)
    limit = binding(prices, advised.free) if advised.free else None
    verify = verification(prices, choice, file) if choice else None
    b_crit = _b_crit(prices)
    config, card = _card(prices, choice.batch_size, b_crit["value"]) if choice else (None, None)
    best = _best(prices, choice)
    interval = _seconds_interval(prices, choice)
    why = reasons(prices, choice, limit)
    return {
        "schema": SCHEMA,
        "kind": "advice",
        "exit_code": advised.exit_code,
        "recommended": choice and choice.batch_size,
        "range": choice and [choice.low, choice.high],
        "range_level": choice and choice.level,
        "seconds": prices.seconds(choice.batch_size) if choice else None,
        "seconds_interval": interval.bounds() if interval else None,
        "lr": card and card.lr,
        "card": card and card.to_json(),
        "command": _command(prices, config, choice) if config and choice else None,
        "reason": _sentence(advised, why),
        "why": why,
        "binding": limit,
        "b_half": _b_half(material),
        "b_crit": b_crit,
        "optimum": _optimum(prices, choice),
        "fastest": fastest,
        "energy": least_energy(prices, choice.batch_size) if choice else None,
        "counterfactuals": counterfactuals(prices, choice.batch_size if choice else None, best),
        "unknown": unknown(prices, choice, fastest, verify) if choice else [],
        "warnings": _warnings(prices, card),
        "limits": prices.limits.to_json(prices.costs(choice.batch_size) if choice else None),
        "images": {"asked": prices.limits.images, "trained": material.dataset["train"]},
        "give": [] if choice or advised.refusal else _give(prices),
        "refused": {"reason": advised.refusal.reason, "next": advised.refusal.next} if advised.refusal else None,
        "verify": verify and shlex.join(verify),
        "target": material.target,
        "steps_from": material.steps_from,
        "dataset": dict(material.dataset),
        "machine": dict(material.machine),
        "config": _to_verify(material, config).to_json() if config else None,
    }


def _card(prices: Prices, batch_size: int, b_crit: float | None) -> tuple[SweepConfig, Card]:
    """The sweep's configuration with the recommended size in it, and the hyper-parameters there."""
    config = with_rate(prices.material.config, batch_size, usual_rule(prices.material))
    return config, make_card(config, batch_size, prices.material.norm, b_crit)


def _command(prices: Prices, config: SweepConfig, choice: Choice) -> str:
    """The training, with a budget that the size needs where that of the sweep was too small for it."""
    late, needed = prices.late_after, prices.images(choice.batch_size)
    longer = math.ceil(10 * ENOUGH * needed / prices.image_factor / late) / 10 if late and needed else 1.0
    return shlex.join(train_words(prices.material, config, choice.batch_size, longer))


def _to_verify(material: Material, config: SweepConfig) -> SweepConfig:
    """What the user asked for, at the sizes and rates of `config` and the target of the advice."""
    run = material.requested.run.replace(target=material.target, lr=config.run.lr)
    return replace(config, run=run, seeds=material.requested.seeds, controls=False)


def _best(prices: Prices, choice: Choice | None) -> float | None:
    """What "vs_best" is relative to, in the unit that the choice went by."""
    if choice is None:
        return None
    if choice.optimum is not None:
        return min([choice.optimum.cost, prices.weight(choice.batch_size)])
    known = [prices.seconds(size) for size in prices.candidates if prices.limits.hold(prices.costs(size))]
    return min((seconds for seconds in known if seconds is not None), default=None)


def _seconds_interval(prices: Prices, choice: Choice | None) -> Interval | None:
    if choice is None or not isinstance(prices.curve, Curve) or prices.seconds(choice.batch_size) is None:
        return None
    if not prices.curve.covers(choice.batch_size):
        return None
    found = prices.curve.seconds_interval(choice.batch_size)
    return found.mapped(lambda seconds: seconds * prices.image_factor) if found else None


def _b_half(material: Material) -> dict[str, Any]:
    fit = material.step_fit
    if not isinstance(fit, StepTimeFit):
        return {"value": None, "interval": None, "reason": fit}
    return {"value": _finite(fit.b_half), "interval": fit.interval(lambda f: f.b_half).bounds(), "reason": None}


def _b_crit(prices: Prices) -> dict[str, Any]:
    """Images; an upper end that is not known is null. Refused at one constant rate."""
    curve, rule = prices.curve, prices.material.config.lr_rule
    if not isinstance(curve, Curve):
        known = {"value": None, "interval": None, "source": None, "lower_bound_only": None}
        return {**known, "rule": rule, "reason": curve}
    found = curve.b_crit
    bound = math.isinf(found.high)
    value = found.low if bound and (curve.noise is not None or math.isinf(found.estimate)) else found.estimate
    return {
        "value": value,
        "interval": [found.low, _finite(found.high)],
        "source": curve.source,
        "lower_bound_only": bound,
        "rule": rule,
        "reason": None,
    }


def _optimum(prices: Prices, choice: Choice | None) -> dict[str, Any] | None:
    if choice is None or choice.optimum is None or not isinstance(prices.curve, Curve):
        return None
    found, scale = choice.optimum, prices.curve.scale
    return {
        "batch_size": found.batch_size,
        "low": found.low,
        "high": found.high,
        "seconds": None if scale is None else found.cost * scale * prices.image_factor,
        "at_edge": found.at_edge,
        "closed_form": formula(prices.curve, prices.material),
        "looked_at": [prices.curve.smallest, prices.curve.largest],
        "sure": choice.sure,
    }


def _give(prices: Prices) -> list[dict[str, Any]]:
    asked = prices.limits.asked()
    return [
        {"limit": name, "asked": asked[name], "needed": needed, "batch_size": size}
        for name, needed, size in what_would_have_to_give(prices)
    ]


def _sentence(advised: Advised, why: dict[str, Any]) -> str:
    if advised.refusal:
        return advised.refusal.reason
    if advised.choice is None:
        return "no batch size keeps all limits"
    return f"hardware: {why['hardware']}. data: {why['data']}. together: {why['together']}."


def _warnings(prices: Prices, card: Card | None) -> list[str]:
    material = prices.material
    found = [*material.warnings, *(card.warnings if card else ())]
    if material.config.lr_rule == "constant" and card and len(material.config.batch_sizes) == 1:
        found.append(f"the rate follows the {card.rule} rule from batch {material.config.batch_sizes[0]}; not tuned")
    if material.confounded:
        found.append("one constant rate: size and rate are confounded")
    if prices.limits.images:
        found.append(
            f"for {prices.limits.images:,} images the epochs to the target are taken to stay as with "
            f"{material.dataset['train']:,}; more images usually need fewer epochs"
        )
    if material.elsewhere:
        found.append("times are images to the target here and step times there; its input wait is not in them")
    return found


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
