"""A process that trains does not import what it does not need: it is started for every run and every sample."""

import subprocess
import sys

import pytest

TRAIN = """
import sys
from fastbs.bench.training_step import training
from fastbs.config import RunConfig
from fastbs.data.imaginary import imaginary_dataset

run = RunConfig(
    data="synthetic", norm="group", image_size=16, augment="none", batch_size=4, precision="fp32", loader="synthetic",
    device="cpu", threads=1, loader_threads=1, optimizer=sys.argv[1],
)
with training(run, imaginary_dataset(classes=3, side=16, images=8)) as (step, batches, _):
    step(next(batches))
    step.load_state_dict(step.state_dict())
    step(next(batches))
print(*{"torch._dynamo", "triton", "sympy", "scipy", "pandas"} & set(sys.modules))
"""


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_an_eager_step_on_a_cpu_imports_no_compiler(optimizer):
    done = subprocess.run([sys.executable, "-c", TRAIN, optimizer], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
