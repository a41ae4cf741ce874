"""The noise of a machine: how far one process is from the next of the same code, row by row."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastbs.analysis.comparison.bench_workload import bench_workload
from fastbs.analysis.comparison.machine_facts import BLOCK, Fact, machine_facts
from fastbs.analysis.comparison.records import Key, Side
from fastbs.errors import BadInput
from fastbs.results.checked import Checked
from fastbs.results.files import SCHEMA


@dataclass(frozen=True)
class Calibration:
    """`noise` is (sd of the log ratio between two single processes, its degrees of freedom) by key and metric.

    `sessions` is the same between two sessions, on top of their processes; empty where one session was calibrated.
    """

    source: str
    noise: Mapping[tuple[Hashable, ...], tuple[float, float]]
    machine: Mapping[str, Fact] = field(default_factory=dict)  # the facts of it that decide how noisy it is
    workload: Mapping[str, Any] = field(default_factory=dict)  # likewise of what was measured
    sessions: Mapping[tuple[Hashable, ...], tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def from_json(cls, document: Mapping[str, Any], source: str) -> Calibration:
        """From a document of kind "calibration"; BadInput names the key of what cannot be used."""
        found: dict[tuple[Hashable, ...], tuple[float, float]] = {}
        sessions: dict[tuple[Hashable, ...], tuple[float, float]] = {}
        for row in Checked(dict(document), source)["rows"].each():
            key = tuple((name, value.scalar()) for name, value in row["key"].items())
            entry = _entry(key, row["metric"].text())
            found[entry] = row["noise"].positive(), row["df"].positive()
            if row.get("session_noise").value is not None:
                sessions[entry] = row["session_noise"].zero_or_more(), row["session_df"].positive()
        device = document.get("settings", {}).get("device")
        facts = machine_facts(Checked(document.get("machine"), source, "machine"), device)
        rows = [{"question": dict(key).get("question", ""), "input": dict(key).get("input")} for key in _keys(document)]
        workload = bench_workload(Checked({"settings": document.get("settings", {}), "rows": rows}, source))
        return cls(
            source,
            found,
            {name: facts[name] for name in (*BLOCK, "cpu") if facts.get(name) is not None},
            {name: value for name, value in workload.items() if value is not None and name != "protocol"},
            sessions,
        )

    def refuse_elsewhere(self, side: Side) -> None:
        """BadInput when `side` was measured on another processor or card than this noise, or is of another workload."""
        for name, value in self.machine.items():
            if side.machine.get(name, value) not in (value, None):
                raise BadInput(
                    f"{self.source}: noise of another machine, {name} {value} and not {side.machine[name]}; "
                    "calibrate where the files were measured"
                )
        for name, value in self.workload.items():
            if side.workload.get(name, value) not in (value, None):
                raise BadInput(
                    f"{self.source}: noise of another workload, {name} {value} and not {side.workload[name]}; "
                    "calibrate with the settings of the files"
                )

    def noise_of(self, key: Key, metric: str) -> tuple[float, float] | None:
        """Noise and degrees of freedom; None for a row that was not calibrated."""
        return self.noise.get(_entry(key, metric))

    def session_noise_of(self, key: Key, metric: str) -> tuple[float, float] | None:
        """The same of two sessions; None where one session was calibrated."""
        return self.sessions.get(_entry(key, metric))


def calibration_document(
    rows: Sequence[Mapping[str, Any]], *, settings: Mapping[str, Any], machine: Mapping[str, Any]
) -> dict[str, Any]:
    """The document of kind "calibration"; each of `rows` has "key", "metric", "noise" and "df"."""
    return {
        "schema": SCHEMA,
        "kind": "calibration",
        "settings": settings,
        "machine": machine,
        "rows": list(rows),
    }


def _keys(document: Mapping[str, Any]) -> list[Any]:
    return [row["key"] for row in document["rows"]]


def _entry(key: Sequence[tuple[str, Hashable]], metric: str) -> tuple[Hashable, ...]:
    return (*sorted(key, key=lambda item: item[0]), metric)
