"""Times to a target of which some are not known because the target was missed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fastbs.analysis.convergence import median_with_misses
from fastbs.analysis.proportion import Z

LEVEL = 0.95


@dataclass(frozen=True)
class TimesToTarget:
    """What runs to a target tell, misses included; seconds."""

    n: int
    reached: int
    success_interval: tuple[float, float]  # 95 %, Wilson
    median: float | None  # None where half of the runs or more miss
    median_range: list[float | None] | None  # two of the times, None for a missed one; None without runs
    median_coverage: float | None  # how often such a range holds the median: 95 % or more takes six runs
    expected: float | None  # with restarts until one reaches it; None where none did, or a miss took unknown time


def describe_times(times: Sequence[float | None], spent: Sequence[float]) -> TimesToTarget:
    """Describe times to the target, None for a miss; `spent` are the seconds of each run up to its hit or its end.

    The range of the median is that of order statistics, free of any distribution. The expected time charges every miss
    with all it spent: what restarting until one run reaches the target costs on average. A miss of which that is not
    known spent infinity.
    """
    n, reached, total = len(times), sum(time is not None for time in times), math.fsum(spent)
    low, high, coverage = _median_range(times) if times else (None, None, None)
    return TimesToTarget(
        n=n,
        reached=reached,
        success_interval=wilson(reached, n),
        median=median_with_misses(times),
        median_range=[low, high] if times else None,
        median_coverage=coverage,
        expected=total / reached if reached and math.isfinite(total) else None,
    )


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a probability (1927); (0, 1) without a trial."""
    if not n:
        return 0.0, 1.0
    share, z = successes / n, Z * Z / n
    middle = (share + z / 2) / (1 + z)
    half = math.sqrt(z * (share * (1 - share) + z / 4)) / (1 + z)
    return max(0.0, middle - half), min(1.0, middle + half)


def runs_needed(spread: float, difference: float) -> int:
    """Runs a side that find a relative `difference` in 80 % of cases at 5 %, for logs that spread so much; at least 3.

    2 (1.96 + 0.84)^2 (spread / difference)^2, the usual sample size of two means.
    """
    if difference <= 0:
        raise ValueError("no difference, so no number of runs would show it")
    return max(3, math.ceil(2 * (Z + 0.8416) ** 2 * (spread / math.log1p(difference)) ** 2))


def _median_range(times: Sequence[float | None]) -> tuple[float | None, float | None, float]:
    """The narrowest pair of order statistics around the median that covers it in 95 %, or else the whole range."""
    ordered = sorted(times, key=lambda time: math.inf if time is None else time)
    n = len(ordered)
    below = [math.comb(n, k) / 2**n for k in range(n + 1)]
    outside = next((k for k in range((n - 1) // 2, -1, -1) if 1 - 2 * sum(below[: k + 1]) >= LEVEL), 0)
    return ordered[outside], ordered[n - 1 - outside], 1 - 2 * sum(below[: outside + 1])
