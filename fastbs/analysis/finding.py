"""What a claim comes to here."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from fastbs.analysis.interval import Interval

Verdict = Literal["true", "true, cause open", "true for another reason", "not seen here", "cannot tell"]
POINT = 0.01  # a percentage point of top1


@dataclass(frozen=True)
class Finding:
    """A claim, the verdict on it, the sentences that follow the verdict, and the numbers behind them."""

    claim: str
    verdict: Verdict
    text: str
    numbers: dict[str, Any]  # fractions, seconds and images, not rounded; intervals as [low, high] or null

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def number(name: str, value: Interval | None) -> dict[str, Any]:
    """A number and its interval as two keys; null where there is none."""
    return {name: value.estimate if value else None, f"{name}_interval": value.bounds() if value else None}
