"""The four claims of the post, each with a verdict and its reasons."""

from __future__ import annotations

from fastbs.analysis.claim_accuracy import accuracy_claim
from fastbs.analysis.claim_choice import choice_claim
from fastbs.analysis.claim_extrapolation import extrapolation_claim
from fastbs.analysis.claim_time import time_claim
from fastbs.analysis.evidence import Evidence
from fastbs.analysis.finding import Finding
from fastbs.analysis.step_time import StepTimeFit


def findings(evidence: Evidence, fit: StepTimeFit | str) -> list[Finding]:
    """Time, accuracy, extrapolation, choice: in the post's order. `fit` as `sweep_fit.fit_sweep` gives it."""
    return [
        time_claim(evidence, fit),
        accuracy_claim(evidence),
        extrapolation_claim(evidence),
        choice_claim(evidence),
    ]
