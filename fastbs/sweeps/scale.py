"""Time to the target on many GPUs, on paper, from the records of one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastbs.analysis.advice.curve import fit_law
from fastbs.analysis.advice.gather import gather
from fastbs.analysis.samples_to_target import SamplesFit
from fastbs.analysis.scale import assumed_steps, scale_table
from fastbs.analysis.step_time import StepTimeFit
from fastbs.errors import BadInput
from fastbs.results.checked import Checked
from fastbs.results.measurement_files import read_measurements

GRADIENT = 4  # bytes of each weight's gradient, fp32


def scale(
    records: Sequence[Path], gpus: Sequence[int], bandwidth: float, *, target: float | None = None
) -> dict[str, Any]:
    """The document of kind "scale" for these numbers of GPUs, joined by links of `bandwidth` bytes/s each.

    The images to the target follow the law fitted to the runs, a step the line of one GPU and a ring's all-reduce of
    the gradient. BadInput where the records give no law or no line, or at one constant rate.
    """
    files = read_measurements(list(records))
    material = gather(files, target)
    if material.confounded:
        raise BadInput(f"{files[0].name}: one constant rate, so no law of batch size; sweep with --lr-rule linear")
    law, line = fit_law(material), material.step_fit
    if not isinstance(law, SamplesFit):
        raise BadInput(f"{files[0].name}: no law of the images to the target; run more batch sizes to the target")
    if not isinstance(line, StepTimeFit):
        raise BadInput(f"{files[0].name}: no line of step times ({line})")
    sweep = next(file for file in files if file.kind == "sweep")
    gradient = GRADIENT * Checked(sweep.document, sweep.name)["parameters"].count()
    return scale_table(
        law,
        assumed_steps(line, gradient, bandwidth),
        gpus,
        most_images=max(material.step_means),
        train_images=int(material.dataset["train"]),
    )
