"""Which learning rate is best at one batch size, from a fixed number of trials."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastbs.analysis.hit import find_hit
from fastbs.results.record import RunRecord

TRIALS = 5  # of every batch size: a larger budget for one size would favour it
FACTOR = 2.0  # between neighbours, at first


@dataclass(frozen=True)
class Trial:
    """One training at one rate; the lower of two scores is the better."""

    lr: float
    score: tuple[int, float]  # (0 there, 1 not there, 2 no end; images to the target or validation loss)
    seeds: int = 1  # trainings that the score is the mean of

    def to_json(self) -> dict[str, Any]:
        kind, value = self.score
        what = ("images_to_target", "validation_loss", None)[kind]
        return {"lr": self.lr, "score": what, "value": value if math.isfinite(value) else None, "seeds": self.seeds}


@dataclass(frozen=True)
class Search:
    """The trials of one batch size."""

    batch_size: int
    trials: tuple[Trial, ...]

    @property
    def best(self) -> float:
        return min(self.trials, key=lambda trial: (trial.score, trial.lr)).lr

    @property
    def interior(self) -> bool:
        """Whether rates on both sides of the best were tried; otherwise the size is under-tuned."""
        rates = [trial.lr for trial in self.trials]
        return min(rates) < self.best < max(rates)

    def to_json(self) -> dict[str, Any]:
        trials = [trial.to_json() for trial in sorted(self.trials, key=lambda trial: trial.lr)]
        return {"batch_size": self.batch_size, "lr": self.best, "interior": self.interior, "trials": trials}


def search_rate(batch_size: int, start: float, score: Callable[[float], tuple[int, float]], seeds: int = 1) -> Search:
    """Try half, once and twice the rate `start`, then go where the best is until `TRIALS` are used.

    A best rate at the end of the grid extends it by a factor of two; one in the middle gets neighbours at half that
    distance. `score` trains at a rate, with so many `seeds`, and says how well that went.
    """
    trials = [Trial(lr, score(lr), seeds) for lr in (start / FACTOR, start, start * FACTOR)]
    while len(trials) < TRIALS:
        lr = _next(Search(batch_size, tuple(trials)))
        trials.append(Trial(lr, score(lr), seeds))
    return Search(batch_size, tuple(trials))


def _next(search: Search) -> float:
    best, rates = search.best, sorted(trial.lr for trial in search.trials)
    if best == rates[0]:
        return best / FACTOR
    if best == rates[-1]:
        return best * FACTOR
    at = rates.index(best)
    below, above = rates[at - 1], rates[at + 1]
    return math.sqrt(best * (above if above / best >= best / below else below))  # into the wider gap


def joint_score(scores: Sequence[tuple[int, float]]) -> tuple[int, float]:
    """Of several trainings at one rate: the worst of what they came to, and the geometric mean of those that did."""
    worst = max(kind for kind, _ in scores)
    values = [value for kind, value in scores if kind == worst]
    return worst, values[0] if len(values) == 1 else math.exp(math.fsum(map(_log, values)) / len(values))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def score_of(run: RunRecord, target: float | None, hold: int) -> tuple[int, float]:
    """Images to the target; where that is missed, or not asked for, the mean validation loss of the last quarter."""
    if run.status not in ("ok", "missed") or not run.evaluations:
        return 2, math.inf
    hit = find_hit(run.evaluations, target, hold) if target is not None else None
    return (0, hit.images) if hit else (1, _last_quarter([evaluation.loss for evaluation in run.evaluations]))


def _last_quarter(values: Sequence[float]) -> float:
    last = values[-max(1, len(values) // 4) :]
    return math.fsum(last) / len(last)
