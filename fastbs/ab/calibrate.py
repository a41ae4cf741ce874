"""How much a machine varies by itself: the same code measured again and again, row by row."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastbs.ab.interleave import Pairs, Stop, log_ratios, measure_in_turns
from fastbs.ab.run import Arm, opened, side_of
from fastbs.ab.worktree import HERE
from fastbs.analysis.comparison.calibration import calibration_document
from fastbs.analysis.comparison.metrics import PRIMARY
from fastbs.analysis.comparison.records import Record
from fastbs.errors import BadInput


def calibrate(plan: dict[str, Any], *, folder: Path, pairs: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """The document of kind "calibration": A against A, in `pairs` pairs.

    "noise" is the standard deviation of the log ratio of two processes picked at random from all that were measured:
    sqrt(2) times that of their logarithms, so that the drift of the machine over the whole session counts; "df" its
    degrees of freedom. "paired_noise" is that of two which followed each other, which is what `fastbs ab` sees. Files
    that were measured on different days may differ by more. BadInput when a row did not end well.
    """
    arm = Arm("A", HERE, {})
    never = Stop(visible=0.0, seconds=math.inf, least=pairs, most=pairs)
    with opened((arm, arm), plan, folder) as (base, head):
        measured = measure_in_turns(base, head, never, progress)
        sides = [side_of(remote, measured.outcomes[index]) for index, remote in enumerate((base, head))]
        cells, about = base.opened["cells"], base.opened
    rows = []
    for index, (cell, *records) in enumerate(zip(cells, *(side.records for side in sides), strict=True)):
        metric = PRIMARY[cell["question"]][0]
        rows.append(_row(records, metric, measured, index))
    return calibration_document(rows, settings=about["settings"], machine=about["machine"])


def _row(records: list[Record], metric: str, measured: Pairs, cell: int) -> dict[str, Any]:
    bad = next((record for record in records if record.status != "ok"), None)
    if bad is not None:
        raise BadInput(f"{' '.join(str(value) for _, value in bad.key)}: {bad.status} ({bad.reason}); leave it out")
    logs = [math.log(value) for record in records for value in record.samples[metric].values]
    ratios = log_ratios(measured, cell)
    return {
        "key": dict(records[0].key),
        "metric": metric,
        "noise": math.sqrt(2) * statistics.stdev(logs),
        "df": len(logs) - 1,
        "paired_noise": math.sqrt(math.fsum(ratio**2 for ratio in ratios) / len(ratios)),
        "pairs": len(ratios),
    }
