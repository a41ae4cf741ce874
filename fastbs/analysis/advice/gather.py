"""Records of any kind as the material of one advice."""

from __future__ import annotations

from collections.abc import Sequence

from fastbs.analysis.advice.from_bench import with_bench
from fastbs.analysis.advice.from_sweep import from_sweep
from fastbs.analysis.advice.material import Material
from fastbs.errors import BadInput
from fastbs.results.measurement_files import MeasurementFile


def gather(
    files: Sequence[MeasurementFile], target: float | None = None, elsewhere: MeasurementFile | None = None
) -> Material:
    """A sweep (or a pilot: a sweep of one size), and the step times of a bench where one is given.

    `elsewhere` is the bench of another machine, whose step times take the place of these. BadInput where there is no
    sweep: a bench alone knows what an image costs, not how many it takes.
    """
    sweeps = [file for file in files if file.kind == "sweep"]
    benches = [file for file in files if file.kind != "sweep"]
    if not sweeps:
        raise BadInput(f"{files[0].name}: no runs to a target; add a sweep, or give the images and --budget")
    if len(sweeps) > 1 or len(benches) > 1:
        extra = (sweeps if len(sweeps) > 1 else benches)[1]
        raise BadInput(f"{extra.name}: a second {extra.kind}; advice is from one sweep and one bench")
    material = from_sweep(sweeps[0], target)
    for bench in benches:
        material = with_bench(material, bench, elsewhere=False)
    return with_bench(material, elsewhere, elsewhere=True) if elsewhere else material
