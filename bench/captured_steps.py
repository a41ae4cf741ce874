"""Training steps for nsys to capture: `python -m fastbs.bench.captured_steps FILE`, as `fastbs profile` asks for them.

FILE is JSON: "config", a resolved RunConfig, and "dataset", a Dataset.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from fastbs.bench.training_step import training
from fastbs.config import RunConfig
from fastbs.data.dataset import Dataset
from fastbs.errors import BadInput
from fastbs.profiling.ranges import captured_by_nsys, nvtx_range, step_in_ranges
from fastbs.profiling.torch_trace import STEPS, WARM_STEPS
from fastbs.results.files import read_json


def capture(config: dict[str, Any], dataset: dict[str, Any]) -> None:
    """Warm up, then make `STEPS` steps in NVTX ranges between the marks that start and end nsys's capture."""
    around = nvtx_range()
    with training(RunConfig.from_json(config), Dataset.from_json(dataset)) as (step, batches, device):
        for _ in range(WARM_STEPS):
            step_in_ranges(step, batches, around)
        with captured_by_nsys(device):
            for _ in range(STEPS):
                step_in_ranges(step, batches, around)


if __name__ == "__main__":
    try:
        request = read_json(Path(sys.argv[1]), "request")
        capture(request["config"], request["dataset"])
    except BadInput as error:
        sys.exit(f"fastbs: {error}")
