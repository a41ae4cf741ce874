"""The noise of a machine: how far one process is from the next of the same code, row by row."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastbs.analysis.comparison.records import Key
from fastbs.results.checked import Checked
from fastbs.results.files import SCHEMA


@dataclass(frozen=True)
class Calibration:
    """`noise` is (sd of the log ratio between two single processes, its degrees of freedom) by key and metric."""

    source: str
    noise: Mapping[tuple[Hashable, ...], tuple[float, float]]

    @classmethod
    def from_json(cls, document: Mapping[str, Any], source: str) -> Calibration:
        """From a document of kind "calibration"; BadInput names the key of what cannot be used."""
        found: dict[tuple[Hashable, ...], tuple[float, float]] = {}
        for row in Checked(dict(document), source)["rows"].each():
            key = tuple((name, value.scalar()) for name, value in row["key"].items())
            found[_entry(key, row["metric"].text())] = row["noise"].positive(), row["df"].positive()
        return cls(source, found)

    def noise_of(self, key: Key, metric: str) -> tuple[float, float] | None:
        """Noise and degrees of freedom; None for a row that was not calibrated."""
        return self.noise.get(_entry(key, metric))


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


def _entry(key: Sequence[tuple[str, Hashable]], metric: str) -> tuple[Hashable, ...]:
    return (*sorted(key, key=lambda item: item[0]), metric)
