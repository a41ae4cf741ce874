"""A whole sweep as one document: summary.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastbs.analysis.caveats import caveats
from fastbs.analysis.claims import findings
from fastbs.analysis.cuts import accuracy_at_cuts, times_over_targets
from fastbs.analysis.evidence import Evidence
from fastbs.analysis.noise_rows import noise_rows
from fastbs.analysis.rows import make_row
from fastbs.analysis.sweep_fit import fit_document, fit_sweep
from fastbs.config import SweepConfig
from fastbs.results.files import SCHEMA
from fastbs.results.record import RunRecord


def summarize(
    *,
    config: Mapping[str, Any],
    dataset: dict[str, Any],
    machine: dict[str, Any],
    runs: Sequence[RunRecord],
    planned: Sequence[tuple[str, int, int]],
) -> dict[str, Any]:
    """The document of summary.json for the runs that have ended so far; keys in the order of the file.

    `config` is a resolved SweepConfig as JSON; `planned` holds (arm, batch size, seed) of every run. A planned run
    without a record is "pending". Numbers are not rounded, and null where there is no evidence: never NaN or infinite.
    """
    evidence = Evidence(SweepConfig.from_json(config), dataset, tuple(runs), tuple(planned))
    fit = fit_sweep(evidence)
    return {
        "schema": SCHEMA,
        "kind": "sweep",
        "dataset": dataset,
        "machine": machine,
        "rows": [make_row(evidence, setting) for setting in evidence.sizes],
        "controls": [{"arm": setting.arm, **make_row(evidence, setting)} for setting in evidence.controls],
        "fit": fit_document(fit),
        "findings": [finding.to_json() for finding in findings(evidence, fit)],
        "caveats": caveats(evidence),
        "cuts": accuracy_at_cuts(evidence),
        "targets": times_over_targets(evidence),
        "noise": noise_rows(runs),
        "config": dict(config),
    }
