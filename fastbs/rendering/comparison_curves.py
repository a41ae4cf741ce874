"""A curve over batch sizes before and after, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from fastbs.analysis.comparison.metrics import METRICS
from fastbs.rendering.comparison_numbers import OPEN, change_text, effect_text
from fastbs.rendering.comparison_rows import Quote, Row, is_better, is_worse
from fastbs.rendering.numbers import significant
from fastbs.rendering.sparkline import sparkline


def ranked_curves(curves: Sequence[Row]) -> list[Row]:
    """Worse ones first, then better ones, then the rest; each by size."""
    return sorted(curves, key=lambda c: (0 if is_worse(c) else 1 if is_better(c) else 2, -abs(c["change"] or 0.0)))


def curve_sentence(curve: Row, quote: Quote) -> str:
    """The geometric mean, the worst size, what moved, and both shapes on one scale."""
    metric, sizes = curve["metric"], curve["batch_sizes"]
    mean = f"{curve['verdict']}, {change_text(curve, metric)}" if curve["change"] is not None else curve["verdict"]
    if curve["verdict"] == "cannot tell" and curve["smallest_visible"] is not None and curve["smallest_visible"] < OPEN:
        mean += f" (from {effect_text(curve['smallest_visible'], metric)} on it could have been seen)"
    over = f"{METRICS[metric].label} at B={sizes[0]} to {sizes[-1]}"
    parts = [f"{quote(curve['name'])}, {over}: {mean}", _worst(curve), *_shifts(curve), _shape(curve)]
    return "; ".join(filter(None, parts))


def _worst(curve: Row) -> str:
    worst = curve["worst"]
    return "" if worst is None else f"worst {change_text(worst, curve['metric'])} at B={worst['batch_size']}"


def _shifts(curve: Row) -> list[str]:
    """What is not where it was; sizes that were never reached are "none"."""
    named = {
        "knee": "knee",
        "within_5_percent": "within 5 % of the best from",
        "largest_ok": "largest that runs",
        "smallest_oom": "out of memory from",
    }
    shifts = []
    for key, words in named.items():
        base, head = map(_batch, curve[key] or (None, None))
        if base != head:
            shifts.append(f"{words} {base} → {head}")
    return shifts


def _shape(curve: Row) -> str:
    top = max([value for side in ("base", "head") for value in curve[side] if value is not None], default=0.0)
    return f"{sparkline(curve['base'], top)} → {sparkline(curve['head'], top)}"


def _batch(size: float | None) -> str:
    """A measured size is whole, a fitted one is not."""
    return "none" if size is None else f"{size:,}" if isinstance(size, int) else significant(size)
