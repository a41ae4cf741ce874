"""Whether processes differ more than the calibration says: then it is not of this machine as it is now."""

from __future__ import annotations

import math
from collections.abc import Iterator

from fastbs.analysis.comparison.calibration import Calibration
from fastbs.analysis.comparison.metrics import METRICS
from fastbs.analysis.comparison.records import Side
from fastbs.analysis.comparison.samples import scaled
from fastbs.analysis.student_t import f_tail

LEVEL = 0.05


def refutes(calibration: Calibration, base: Side, head: Side) -> str | None:
    """The sentence that says so, or None where the files contain nothing against it.

    Under the calibration the squares of all rows' processes around their own means, each over the variance that was
    calibrated for its row, add up to chi-squared; with the calibration's own uncertainty, to F. All rows together,
    because the two or three processes of a single one say next to nothing.
    """
    squares, spare, df = 0.0, 0, math.inf
    for own, degrees, noise, known in _rows(calibration, base, head):
        squares += own / (noise**2 / 2)  # noise is that of a difference of two
        spare += degrees
        df = min(df, known)
    if not spare or f_tail(squares / spare, spare, df if math.isfinite(df) else 1e9) > LEVEL:
        return None
    return (
        f"the processes of a side differ {math.sqrt(squares / spare):.1f} times as much as {calibration.source} says; "
        "it is left aside"
    )


def _rows(calibration: Calibration, *sides: Side) -> Iterator[tuple[float, int, float, float]]:
    """Squares around the mean, their degrees of freedom, and what was calibrated, of rows with several processes."""
    for record in (record for side in sides for record in side.records if record.status == "ok"):
        for name, sample in record.samples.items():
            known = calibration.noise_of(record.key, name)
            values = scaled(sample.values, METRICS[name])
            if known is None or len(values) < 2 or math.inf in values:
                continue
            mean = math.fsum(values) / len(values)
            yield math.fsum((value - mean) ** 2 for value in values), len(values) - 1, *known
