"""How far two sessions of unchanged code lie apart: components of variance of files from several sessions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fastbs.analysis.comparison.calibration import calibration_document
from fastbs.analysis.comparison.metrics import METRICS, PRIMARY
from fastbs.analysis.comparison.records import Record, Side
from fastbs.analysis.comparison.sessions import session_numbers
from fastbs.analysis.comparison.sides import make_side
from fastbs.analysis.comparison.units import scaled
from fastbs.errors import BadInput
from fastbs.results.measurement_files import MeasurementFile

LEAST = 1e-6  # of a noise: less is below what a clock shows


def session_calibration(files: Sequence[MeasurementFile]) -> dict[str, Any]:
    """The document of kind "calibration" from files of unchanged code, measured in several sessions.

    "noise" is the standard deviation of the log ratio of two processes of one session, "df" its degrees of freedom;
    "session_noise" and "session_df" are those of two sessions, without the noise of their processes. BadInput unless
    all files say when they were measured, in at least two sessions, one of which has several processes.
    """
    side = make_side(files)
    numbers = _numbers(side)
    groups = {}
    for record in side.records:
        metric = PRIMARY[str(dict(record.key)["question"])][0]
        if record.status == "ok" and metric in record.samples:
            groups[record.key] = metric, _by_session(record, metric, numbers)
    rows = []
    between = {metric: _mean_of_rows([g for m, g in groups.values() if m == metric]) for metric, _ in groups.values()}
    for key, (metric, values) in groups.items():
        within, df = _within(values)
        if not df:
            continue
        session = max(0.0, _between(values), between[metric])
        rows.append(
            {
                "key": dict(key),
                "metric": metric,
                "noise": max(LEAST, math.sqrt(2 * within)),
                "df": df,
                "session_noise": math.sqrt(2 * session),
                "session_df": len(values) - 1,
                "sessions": len(values),
            }
        )
    if not rows:
        raise BadInput("no row has two processes in one session and a second session; give several files of each")
    return calibration_document(rows, settings=_settings(files), machine=_machine(files, side))


def _numbers(side: Side) -> list[int]:
    for file, start in zip(side.files, side.starts, strict=True):
        if start is None:
            raise BadInput(f"{file}: does not say when it was measured; measure again")
    numbers = session_numbers([start for start in side.starts if start is not None])
    if len(set(numbers)) < 2:
        raise BadInput("all files are of one session; give files of other days, an hour apart at least")
    return numbers


def _by_session(record: Record, metric: str, numbers: Sequence[int]) -> list[list[float]]:
    """The values of each session, as logarithms of a ratio metric; those of runs that missed a target are left out."""
    sample = record.samples[metric]
    groups: dict[int, list[float]] = {}
    for value, file in zip(scaled(sample.values, METRICS[metric]), sample.files, strict=True):
        if math.isfinite(value):
            groups.setdefault(numbers[file], []).append(value)
    return list(groups.values())


def _within(groups: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Variance of processes of one session, and its degrees of freedom; none where there is one session."""
    df = sum(len(group) - 1 for group in groups)
    if len(groups) < 2 or not df:
        return 0.0, 0
    return math.fsum((value - _mean(group)) ** 2 for group in groups for value in group) / df, df


def _between(groups: Sequence[Sequence[float]]) -> float:
    """Variance of sessions by the method of moments (one-way analysis of variance); below 0 by chance."""
    within, _ = _within(groups)
    total = sum(len(group) for group in groups)
    grand = math.fsum(value for group in groups for value in group) / total
    square = math.fsum(len(group) * (_mean(group) - grand) ** 2 for group in groups) / (len(groups) - 1)
    effective = (total - sum(len(group) ** 2 for group in groups) / total) / (len(groups) - 1)
    return (square - within) / effective


def _mean_of_rows(rows: Sequence[Sequence[Sequence[float]]]) -> float:
    """Few sessions hardly know their own spread, and most of their luck is that of the machine, in all rows at once."""
    known = [_between(groups) for groups in rows if _within(groups)[1]]
    return math.fsum(known) / len(known) if known else 0.0


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _settings(files: Sequence[MeasurementFile]) -> dict[str, Any]:
    """Of benches, what was measured; other files do not say it."""
    return next((dict(file.document["fastbs"].get("settings") or {}) for file in files if file.kind == "bench"), {})


def _machine(files: Sequence[MeasurementFile], side: Side) -> dict[str, Any]:
    measured = next((file.document["fastbs"].get("machine") for file in files if file.kind == "bench"), None)
    return dict(measured or {"cpu": {"model": side.machine.get("cpu")}})
