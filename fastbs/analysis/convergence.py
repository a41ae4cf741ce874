"""Where runs stood: still learning at their end; the median of times that some of them miss."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from fastbs.results.record import Evaluation

RELATIVE_FALL = 0.01  # of the training loss, from one quarter of a run to the next; less could be noise
SMALLEST_FALL = 0.02  # nats: the right class becomes 2 % more likely. Nets that fit their images fall for ever below it


def still_falling(runs: Sequence[Sequence[Evaluation]]) -> bool | None:
    """True when training loss still falls at the end: more of the same training would have learned more.

    The mean training loss of the last quarter of each run's evaluations is set against that of the quarter before; over
    the runs, it must have fallen by more than 1 % and by more than 0.02 nats. Quarters and not single evaluations, so
    that one noisy stretch does not decide; a quarter, rounded down, is at least one evaluation. None when there is no
    run or one has fewer than four evaluations.
    """
    if not runs or any(len(evaluations) < 4 for evaluations in runs):
        return None
    before, after = [], []
    for evaluations in runs:
        quarter = len(evaluations) // 4
        losses = [evaluation.train_loss for evaluation in evaluations]
        before.append(statistics.fmean(losses[-2 * quarter : -quarter]))
        after.append(statistics.fmean(losses[-quarter:]))
    fall = statistics.fmean(before) - statistics.fmean(after)
    return fall > max(SMALLEST_FALL, RELATIVE_FALL * statistics.fmean(before))


def median_with_misses(values: Sequence[float | None]) -> float | None:
    """The median, a miss (None) counting as longer than any time; None when it is not finite or there are no values.

    So half of the runs or fewer give no median, instead of a time that only the lucky ones took.
    """
    median = statistics.median(math.inf if value is None else value for value in values) if values else math.inf
    return median if math.isfinite(median) else None
