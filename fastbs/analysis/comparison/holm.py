"""Many rows at once: how sure each must be, so that none is called changed by chance more often than agreed."""

from __future__ import annotations

from collections.abc import Sequence


def holm_levels(p: Sequence[float | None], alpha: float) -> list[float | None]:
    """The level at which Holm's procedure tests each row; None for those without a p, which are not tested.

    Of m rows, the one with the k-th smallest p is tested at alpha / (m - k + 1), up to the first that fails; the rest
    gets the level of that one. A row is changed when its p is at most its level, and an interval at that level excludes
    no change exactly then. Holm (1979): the probability of any false change is at most `alpha`.
    """
    tested = sorted((value, index) for index, value in enumerate(p) if value is not None)
    levels: list[float | None] = [None] * len(p)
    level, failed = alpha, False
    for before, (value, index) in enumerate(tested):
        if not failed:
            level = alpha / (len(tested) - before)
            failed = value > level
        levels[index] = level
    return levels
