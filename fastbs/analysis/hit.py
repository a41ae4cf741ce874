"""When a run reached a target and held it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastbs.results.record import Evaluation


@dataclass(frozen=True)
class Hit:
    """Where top1 crossed the target, on a straight line between two evaluations; the crossing lies within +- half."""

    images: float
    updates: float
    train_seconds: float
    wall_seconds: float
    half_images: float
    half_train_seconds: float
    half_wall_seconds: float


def find_hit(evaluations: Sequence[Evaluation], target: float, hold: int = 2) -> Hit | None:
    """The first of `hold` evaluations in a row whose top1 is `target` or more; None if there are none.

    A run that ends on fewer has not held it. Where already the first evaluation is there, nothing says where before it
    the target was crossed: the middle is taken.
    """
    at = 0
    for number, evaluation in enumerate(evaluations):
        if evaluation.top1 < target:
            at = number + 1
        elif number + 1 - at == hold:
            return _crossing(evaluations[at - 1] if at else None, evaluations[at], target)
    return None


def _crossing(before: Evaluation | None, after: Evaluation, target: float) -> Hit:
    share = 0.5 if before is None else (target - before.top1) / (after.top1 - before.top1)

    def crossing(name: str) -> tuple[float, float]:
        low = getattr(before, name) if before else 0
        return low + share * (getattr(after, name) - low), (getattr(after, name) - low) / 2

    (images, half_images), (updates, _) = crossing("images"), crossing("updates")
    (train, half_train), (wall, half_wall) = crossing("train_seconds"), crossing("wall_seconds")
    return Hit(images, updates, train, wall, half_images, half_train, half_wall)
