"""The parts of a step by name, as profilers show them: NVTX ranges in one domain, and those of torch's profiler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from fastbs.data.batch import Batch
from fastbs.profiling.phases import step_in_parts
from fastbs.training.step import Step

DOMAIN = "fastbs"
STEP = "step"  # around the phases; no name holds a number, since profilers add up by name


Range = Callable[[str], AbstractContextManager[Any]]


def nvtx_range() -> Range:
    """Ranges in the domain `fastbs`, through NVIDIA's package nvtx (DALI brings it); torch's own, without a domain,
    where that is absent; nothing where torch has no CUDA."""
    try:
        import nvtx
    except ModuleNotFoundError:
        return lambda name: torch.cuda.nvtx.range(name) if torch.version.cuda else nullcontext()
    return lambda name: nvtx.annotate(name, domain=DOMAIN)


def torch_range(name: str) -> AbstractContextManager[Any]:
    """A range that torch.profiler records, `fastbs.name`."""
    return torch.profiler.record_function(f"{DOMAIN}.{name}")


def step_in_ranges(step: Step, batches: Iterator[Batch], around: Range) -> None:
    """One training step within a range, and each of its phases within one of that name."""
    with around(STEP):
        step_in_parts(step, batches, around)


@contextmanager
def captured_by_nsys(device: torch.device) -> Iterator[None]:
    """What `nsys profile --capture-range=cudaProfilerApi` records; everything else it leaves out."""
    torch.cuda.synchronize(device)
    torch.cuda.profiler.start()
    try:
        yield
        torch.cuda.synchronize(device)
    finally:
        torch.cuda.profiler.stop()
