"""How long a step takes, as a function of batch size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbs.analysis.interval import Interval
from fastbs.analysis.student_t import mean_interval, t_quantile

Array = NDArray[np.float64]
MISFITS = 3  # residuals of a line by which its end beyond the largest size may be off
ROUNDING = 1e-24  # squared error of a logarithm that double precision leaves


@dataclass(frozen=True)
class StepTimeFit:
    """t(B) = max(host, alpha + beta * B), seconds per step."""

    alpha: float  # s, paid once per step: update, launches, communication
    beta: float  # s per image
    host: float  # s, floor while the host, not the device, is the slower one; 0 if none was seen
    batch_sizes: tuple[int, ...]
    residuals: tuple[float, ...]  # measured/fitted - 1 at each batch size
    processes: tuple[StepTimeFit, ...] = ()  # the same curve fitted to each process alone

    @property
    def b_half(self) -> float:
        """Batch size at which half of the best throughput is reached (images); inf if more images cost nothing."""
        return self.alpha / self.beta if self.beta > 0 else math.inf

    @property
    def max_residual(self) -> float:
        """Largest |measured/fitted - 1|: above 0.05 look for tile or algorithm cliffs."""
        return max(map(abs, self.residuals))

    def seconds(self, batch_size: float) -> float:
        return max(self.host, self.alpha + self.beta * batch_size)

    def fixed_share(self, batch_size: float) -> float:
        """Part of the device's step, alpha + beta * B, that does not depend on the number of images."""
        return self.alpha / (self.alpha + self.beta * batch_size)

    def most_any_size_can_save(self, batch_size: float) -> float:
        """Part of the time per image at `batch_size` that larger batches can take away: all but beta."""
        return 1 - self.beta * batch_size / self.seconds(batch_size)

    def interval(self, quantity: Callable[[StepTimeFit], float]) -> Interval:
        """95 % interval of a quantity above 0 of this fit, from the spread of its logarithm over processes.

        The process is the unit of replication; steps inside one share their luck. Unbounded with fewer than two
        processes, or when the quantity is 0 or infinite in one.
        """
        estimate = quantity(self)
        values = [quantity(fit) for fit in self.processes]
        if len(values) < 2 or not all(0 < value < math.inf for value in [estimate, *values]):
            return Interval(-math.inf, estimate, math.inf, len(values))
        logs = mean_interval(map(math.log, values))
        factor = math.exp(logs.high - logs.estimate)
        return Interval(estimate / factor, estimate, estimate * factor, len(values))

    def saving_interval(self, batch_size: float) -> Interval:
        """`most_any_size_can_save` with its interval, kept within [0, 1].

        What is left of the time per image is an end that no batch size was measured at. So the interval holds, beside
        the spread over processes, three times what the line misses a size by: where steps follow B^.9 or B^.95 and not
        the line, the saving of a batch four times the largest lies above it in 5 % of cases or fewer.
        """
        left = self.interval(lambda fit: 1 - fit.most_any_size_can_save(batch_size))
        if not left.bounded:
            return left.mapped(lambda share: 1 - share)
        misfit = 1 + MISFITS * self.max_residual
        return Interval(max(0.0, 1 - left.high * misfit), 1 - left.estimate, 1 - left.low / misfit, left.n)


def fit_step_times_by_process(batch_sizes: Sequence[int], seconds: Sequence[Sequence[float]]) -> StepTimeFit:
    """Fit seconds[process][size] by least squares on logarithms, so that small and large batches count alike.

    The curve is that of the geometric mean over processes; each process alone gives the spread. Needs at least three
    batch sizes that span a factor of eight, otherwise ValueError. alpha and beta are not negative. The floor is kept
    only if it lowers the residual sum by more than one free parameter would by chance.
    """
    sizes = np.asarray(batch_sizes, dtype=float)
    if len(sizes) < 3 or sizes.max() < 8 * sizes.min():
        raise ValueError("needs at least three batch sizes that span a factor of eight")
    if (np.diff(sizes) <= 0).any():
        raise ValueError("batch sizes do not rise")
    logs = np.log(np.asarray(seconds, dtype=float))
    mean = logs.mean(axis=0)
    floored = _floored_sizes(sizes, mean)
    processes = tuple(_fit(sizes, own, floored) for own in logs) if len(logs) > 1 else ()
    return _fit(sizes, mean, floored, processes=processes)


def fixed_share_from_saving(saving: float) -> float:
    """The fixed share of a step of one image when going from 1 to 2 saves this part of the time per image.

    Under t = alpha + beta B the time per image falls from alpha + beta to alpha/2 + beta, so that
    saving = (alpha / 2) / (alpha + beta): half the fixed share. ValueError outside [0, 0.5).
    """
    if not 0 <= saving < 0.5:
        raise ValueError(f"a step with a fixed cost saves between 0 and 50 % from batch 1 to 2, not {100 * saving:g} %")
    return 2 * saving


def b_half_from_saving(saving: float) -> float:
    """alpha / beta (images) when going from 1 to 2 saves this part of the time per image: 2 s / (1 - 2 s)."""
    share = fixed_share_from_saving(saving)
    return share / (1 - share)


def _fit(sizes: Array, logs: Array, floored: int, **more: Any) -> StepTimeFit:
    """The curve whose floor holds at the `floored` smallest sizes and whose line is fitted to the others."""
    alpha, beta = _fit_line(sizes[floored:], logs[floored:])
    host = float(np.exp(logs[:floored].mean())) if floored else 0.0
    fitted = np.maximum(host, alpha + beta * sizes)
    residuals = tuple(float(r) for r in np.exp(logs) / fitted - 1)
    return StepTimeFit(alpha, beta, host, tuple(int(size) for size in sizes), residuals, **more)


def _floored_sizes(sizes: Array, logs: Array) -> int:
    """How many of the smallest sizes stand on a floor; 0 unless an F test at 5 % finds one.

    A floor is flat, so it takes two sizes to see one, and two more for the line beside it. What the line does not
    explain (tile cliffs, noise) is the error of the test, so that a bend is not mistaken for a floor.
    """
    n = len(sizes)
    candidates = range(2, n - 1)
    if not candidates:
        return 0
    line = _squares(_fit(sizes, logs, 0))
    squares = {floored: _squares(_fit(sizes, logs, floored)) for floored in candidates}
    best = min(squares, key=lambda floored: squares[floored])
    needed = t_quantile(0.975, n - 3) ** 2 * max(squares[best], n * ROUNDING) / (n - 3)
    return best if line - squares[best] > needed else 0


def _squares(fit: StepTimeFit) -> float:
    return sum(math.log1p(residual) ** 2 for residual in fit.residuals)


def _fit_line(sizes: Array, logs: Array) -> tuple[float, float]:
    """alpha and beta, not negative, that minimise the squares of logs - log(alpha + beta B).

    With r = alpha / beta the best beta for a given r is a mean, so one unknown is left: its squares are scanned on a
    grid, both ends (alpha = 0, beta = 0) included, and the slope's root beside the best point is bisected.
    """

    def errors(r: Array) -> Array:
        error: Array = logs - np.log(r[:, None] + sizes)
        error -= error.mean(axis=1, keepdims=True)
        return error

    grid = np.concatenate([[0.0], np.geomspace(1e-4 * sizes[0], 1e4 * sizes[-1], 200)])
    best = int(np.argmin((errors(grid) ** 2).sum(axis=1)))
    if best == len(grid) - 1:
        return float(np.exp(logs.mean())), 0.0
    low, high = float(grid[max(0, best - 1)]), float(grid[best + 1])
    while low < (middle := (low + high) / 2) < high:
        falling = float((errors(np.array([middle])) / (middle + sizes)).sum()) > 0
        low, high = (middle, high) if falling else (low, middle)
    beta = float(np.exp((logs - np.log(low + sizes)).mean()))
    return low * beta, beta
