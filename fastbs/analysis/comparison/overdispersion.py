"""Whether processes differ more than the calibration says: then it is not of this machine as it is now."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from fastbs.analysis.comparison.calibration import Calibration
from fastbs.analysis.comparison.metrics import METRICS
from fastbs.analysis.comparison.records import Side
from fastbs.analysis.comparison.sessions import Sessions
from fastbs.analysis.comparison.units import scaled
from fastbs.analysis.student_t import f_tail

LEVEL = 0.05


def refutes(calibration: Calibration, base: Side, head: Side, sessions: Sessions | None = None) -> str | None:
    """The sentence that says so, or None where the files contain nothing against it.

    Under the calibration the squares of all rows' processes around the means of their sessions, each over the variance
    that was calibrated for its row, add up to chi-squared; with the calibration's own uncertainty, to F. All rows
    together, because the two or three processes of a single one say next to nothing.
    """
    squares, spare, df = 0.0, 0, math.inf
    for own, degrees, noise, known in _rows(calibration, sessions, base, head):
        squares += own / (noise**2 / 2)  # noise is that of a difference of two
        spare += degrees
        df = min(df, known)
    if not spare or f_tail(squares / spare, spare, df if math.isfinite(df) else 1e9) > LEVEL:
        return None
    return (
        f"the processes of a side differ {math.sqrt(squares / spare):.1f} times as much as {calibration.source} says; "
        "it is left aside"
    )


def _rows(
    calibration: Calibration, sessions: Sessions | None, *sides: Side
) -> Iterator[tuple[float, int, float, float]]:
    """Squares around the mean, their degrees of freedom, and what was calibrated, of rows with several processes."""
    for number, record in ((n, record) for n, side in enumerate(sides) for record in side.records):
        for name, sample in record.samples.items():
            known = calibration.noise_of(record.key, name)
            values = scaled(sample.values, METRICS[name])
            if record.status != "ok" or known is None or math.inf in values:
                continue
            mix = sessions and sessions.of_values(number, sample)
            for group in _groups(values, mix or [0] * len(values)):
                mean = math.fsum(group) / len(group)
                yield math.fsum((value - mean) ** 2 for value in group), len(group) - 1, *known


def _groups(values: Sequence[float], numbers: Sequence[int]) -> list[list[float]]:
    """The values of each session that has several."""
    groups: dict[int, list[float]] = {}
    for value, number in zip(values, numbers, strict=True):
        groups.setdefault(number, []).append(value)
    return [group for group in groups.values() if len(group) > 1]
