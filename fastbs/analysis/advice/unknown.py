"""What the evidence leaves open, each with what would settle it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from fastbs.analysis.advice.choose import SURE, Choice
from fastbs.analysis.advice.commands import sweep_words, verify_words
from fastbs.analysis.advice.curve import Curve
from fastbs.analysis.advice.from_sweep import pending
from fastbs.analysis.advice.material import Material
from fastbs.analysis.advice.prices import Prices
from fastbs.analysis.optimum import TOLERANCE
from fastbs.analysis.phrases import listed, percent

SPREAD = 4  # times smaller and larger than the recommended size, for the sizes that verify it
SEEDS = 3


def unknown(
    prices: Prices, choice: Choice, fastest: dict[str, Any] | None, verify: list[str] | None
) -> list[dict[str, str | None]]:
    """{"what", "settle"}: a sentence, and a command or number of runs; null where nothing but more images would."""
    found = [*_spread(prices.material), *_law(prices, choice, verify), *_edges(prices, choice), *_between(fastest)]
    found += [*_open_runs(prices.material), *_subset(prices)]
    return [{"what": what, "settle": settle} for what, settle in found]


def verification(prices: Prices, choice: Choice, file: str) -> list[str] | None:
    """The sweep that would confirm a size whose time was not measured, between two that are clearly slower."""
    size = prices.material.at(choice.batch_size)
    if size is not None and size.reliable and not prices.material.elsewhere and not _from_noise(prices):
        return None
    largest = max(choice.batch_size, prices.material.dataset["train"] // 2)
    sizes = {max(1, choice.batch_size // SPREAD), choice.batch_size, min(largest, choice.batch_size * SPREAD)}
    return verify_words(prices.material, file, tuple(sorted(sizes)), 1 if _from_noise(prices) else SEEDS)


def _from_noise(prices: Prices) -> bool:
    return isinstance(prices.curve, Curve) and prices.curve.noise is not None


Open = Iterator[tuple[str, str | None]]


def _spread(material: Material) -> Open:
    seeds = max((size.times.n for size in material.reached), default=0)
    if seeds == 1:
        yield "seed spread: one seed a size", shlex.join(sweep_words(material))


def _law(prices: Prices, choice: Choice, verify: list[str] | None) -> Open:
    curve = prices.curve
    if not isinstance(curve, Curve):
        yield f"the critical batch size: {curve}", "more sizes, at least four that span a factor of 16"
        return
    if curve.noise is not None:
        yield "whether the noise scale stands for B_crit here: not verified", shlex.join(verify) if verify else None
        return
    assert curve.samples is not None
    if choice.sure is not None and choice.sure < SURE:
        what = f"whether batch {choice.batch_size} is within {percent(TOLERANCE)} of the fastest: "
        yield what + f"{percent(choice.sure)} certain", None
    if curve.late:
        what = f"batch {listed(sorted(curve.late))} missed the target because the budget ended"
        yield what + ": what they need is the law's", "more epochs"
    left_out = [s.batch_size for s in prices.material.reached if not s.all_reached and not prices.is_late(s)]
    if left_out:
        yield f"batch {listed(left_out)} missed the target in some runs and is not part of the law", "more epochs"
    if curve.samples.thin:
        yield "the critical batch size rests on few sizes", "at least four sizes that span a factor of 16"


def _edges(prices: Prices, choice: Choice) -> Open:
    curve, material = prices.curve, prices.material
    trained = [size.batch_size for size in material.reached]
    if not trained:
        return
    if choice.batch_size > 2 * max(trained) or 2 * choice.batch_size < min(trained):
        what = f"batch {choice.batch_size} is more than a factor of two from the sizes that trained ({listed(trained)})"
        yield what, "runs there"
    low, high = min(trained), max(trained)
    edge = choice.optimum.at_edge if isinstance(curve, Curve) and choice.optimum else None
    if edge == "largest" or (edge is None and choice.optimum is None and choice.batch_size == high > low):
        larger = (choice.batch_size, 2 * choice.batch_size, 4 * choice.batch_size)
        yield "whether a larger size is faster yet: none was looked at", shlex.join(sweep_words(material, sizes=larger))
    if (edge == "smallest" or (choice.optimum is None and choice.batch_size == low < high)) and low > 1:
        smaller = tuple(sorted({max(1, choice.batch_size // 4), max(1, choice.batch_size // 2), choice.batch_size}))
        what = "whether a smaller size is faster yet: none was looked at"
        yield what, shlex.join(sweep_words(material, sizes=smaller))


def _between(fastest: dict[str, Any] | None) -> Open:
    if fastest is None or fastest["runner_up"] not in fastest["ties"]:
        return
    what = f"which of batch {fastest['batch_size']} and {fastest['runner_up']} is faster: a tie"
    more = fastest["more_runs"]
    settle = f"{more[0]} to {more[1]} more seeds a size would decide it in 80 % of cases" if more else None
    yield what, settle


def _open_runs(material: Material) -> Open:
    if count := pending(material):
        yield f"{count} planned runs have not ended", "the same sweep command continues them"


def _subset(prices: Prices) -> Open:
    images, train = prices.limits.images, prices.material.dataset["train"]
    if images and images > train:
        yield (
            f"B_crit on {images:,} images: it was measured on {train:,}, and more images may raise it",
            f"the same sweep on more of the {images:,} images",
        )
