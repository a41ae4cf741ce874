"""When there is too little to advise from, and the command that would change it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from fastbs.analysis.advice.commands import sweep_words
from fastbs.analysis.advice.curve import usable
from fastbs.analysis.advice.limits import Limits
from fastbs.analysis.advice.material import Material
from fastbs.analysis.phrases import top1
from fastbs.config import LrRule

SIZES = 5  # of a sweep that says enough
FACTORS = (4.0, 2.0)  # between them


@dataclass(frozen=True)
class Refusal:
    reason: str
    next: str  # a command


def refusal(material: Material, limits: Limits) -> Refusal | None:
    """Why nothing can be recommended from `material`; None when something can."""
    run, goal = material.config.run, top1(material.target)
    if material.confounded:
        return Refusal(
            "at one constant rate, batch size and rate are confounded: what larger batches lose may be the fault of a "
            "rate that was not raised, so no critical batch size and no best one follow from these runs",
            _again(material, lr_rule=usual_rule(material)),
        )
    if run.until_target and run.target is not None and material.target > run.target:
        return Refusal(
            f"the runs ended at {top1(run.target)}; none was given the time to hold {goal}", _again(material)
        )
    if not material.step_means:
        return Refusal("no run was long enough to time a step", _again(material))
    if not material.reached and not (material.noise and untargeted(material)):
        return Refusal(f"no run held {goal}{_best(material)}", _again(material, longer=2))
    if limits.deadline is not None and not material.reached:
        return Refusal(
            f"no run held {goal}, so only relative times are known and no deadline", _again(material, longer=2)
        )
    reliable = [size for size in material.sizes if size.reliable]
    if material.reached and not reliable:
        return Refusal(f"at every batch size more than half of the runs missed {goal}", _again(material, longer=2))
    if len(reliable) > 1 or (reliable and material.raced):
        return None
    if material.noise is None:
        return Refusal(
            f"one batch size held {goal} and no noise scale was measured: nothing says what another one needs",
            _again(material, sizes=_around(material), lr_rule=usual_rule(material)),
        )
    if not usable(material.noise):
        return Refusal(
            f"the noise scale is open: {material.noise.draws} draws tell nothing of it",
            _again(material, sizes=_around(material), lr_rule=usual_rule(material)),
        )
    if len(material.step_means) < 2:
        return Refusal("the step time of one batch size only is known", _bench(material))
    return None


def untargeted(material: Material) -> bool:
    """One size was trained, and it missed the target: a pilot that was cut off."""
    return len(material.config.batch_sizes) == 1


def usual_rule(material: Material) -> LrRule:
    """The sweep's own rule, or instead of a constant rate the usual one of its optimizer."""
    rule = material.config.lr_rule
    if rule == "constant" or (rule == "given" and material.confounded):
        return "sqrt" if material.config.run.optimizer == "adamw" else "linear"
    return rule


def _best(material: Material) -> str:
    return "" if material.best_top1 is None else f"; the best evaluation is {top1(material.best_top1)}"


def _again(
    material: Material, *, lr_rule: LrRule | None = None, longer: float = 1, sizes: tuple[int, ...] | None = None
) -> str:
    return shlex.join(sweep_words(material, lr_rule=lr_rule, longer=longer, sizes=sizes))


def _around(material: Material) -> tuple[int, ...]:
    """Five sizes around the one that trained, a factor of four apart or two, none beyond a twentieth of the images."""
    middle, largest = material.config.batch_sizes[0], max(8, material.dataset["train"] // 20)
    sizes: list[float] = []
    for factor in FACTORS:
        steps = sorted(range(-SIZES, SIZES + 1), key=abs)
        fitting = [size for k in steps if 1 <= (size := middle * factor**k) <= largest and size == int(size)]
        sizes = fitting if len(fitting) > len(sizes) else sizes
        if len(sizes) >= SIZES:
            break
    return tuple(sorted(int(size) for size in sizes[:SIZES])) or (middle,)


def _bench(material: Material) -> str:
    run = material.config.run
    sizes = ",".join(map(str, _around(material)))
    words = ["fastbs", "bench", "throughput", "--model", run.model, "--batch-sizes", sizes, "--json", "throughput.json"]
    return shlex.join(words)
