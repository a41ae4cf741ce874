"""Where the time of a training step goes, in this process: timed whole and in parts first, under a profiler after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastbs.bench.training_step import switches, training
from fastbs.config import RunConfig
from fastbs.data.dataset import Dataset
from fastbs.measurement.memory import memory_held
from fastbs.measurement.steady import measure_steady
from fastbs.profiling.arithmetic import matmul_rate, step_flops
from fastbs.profiling.operators import count_operators, operator_seconds
from fastbs.profiling.phases import enqueue_seconds, measure_in_turns
from fastbs.profiling.torch_trace import trace_steps
from fastbs.results.files import read_json
from fastbs.training.communication import measure_communication
from fastbs.training.set_up import black_batch
from fastbs.training.world import ALONE, World, joined
from fastbs.worker.ranks import Rank

ROUNDS, ROUND_SECONDS = 16, 0.3
BLOCKS, BLOCK_SECONDS = 4, 0.5  # of steady training, for power and clock: two seconds


def profile_training_step(
    config: dict[str, Any], dataset: str, trace: str | None, rank: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A sample of the resolved RunConfig `config`; the Dataset is in the file `dataset`, a trace goes to file `trace`.

    With `rank`, a Rank as JSON, this process is one of those that make every update together; each returns a sample, of
    what itself does, and the first leaves a trace.
    """
    run = RunConfig.from_json(config)
    if rank is None:
        return _sample(run, dataset, trace, ALONE)
    here = Rank(**rank)
    with joined(here, {"config": config} if here.rank == 0 else None) as (world, _):
        sample = _sample(run, dataset, trace if world.first else None, world)
        world.wait()
        return sample


def _sample(run: RunConfig, dataset: str, trace: str | None, world: World) -> dict[str, Any]:
    """In this order: steady training with power and clock; the step whole and in phases, in turns; passes with and
    without the gradients of other ranks; what one pass computes; and last what slows it down (operators counted, the
    profiler), which no time above has seen.
    """
    own = run.of_rank(world.ranks)
    with training(own, Dataset.from_json(read_json(Path(dataset), "dataset")), world) as (step, batches, device):
        agreed = world.of_first
        steady = measure_steady(
            lambda: step(next(batches)), device, blocks=BLOCKS, block_seconds=BLOCK_SECONDS, agreed=agreed
        )
        timed = measure_in_turns(step, batches, device, rounds=ROUNDS, seconds=ROUND_SECONDS, agreed=agreed)
        held = memory_held(device)
        passes = measure_communication(step, black_batch(own, device), device, world)
        batch = next(batches)
        host = enqueue_seconds(lambda: step(batch), device)
        on_cpu = device.type == "cpu"
        computed = {
            "flops": step_flops(step, batch),
            "matmul_flops_per_second": matmul_rate(own.precision or "fp32", device),
            "operators": count_operators(lambda: step(batch), device) if on_cpu else None,
            "operator_seconds": operator_seconds() if on_cpu else None,
        }
        traced = trace_steps(step, batches, device, Path(trace) if trace else None)
    calls = sum(block.calls for block in steady.blocks)
    clocks = [block.sm_clock_mhz for block in steady.blocks if block.sm_clock_mhz is not None]
    images = run.batch_size if on_cpu else own.batch_size  # a card's counter is its own, a host's is of all its ranks
    return {
        **timed,
        **computed,
        "synced_pass_seconds": passes[0] if passes else None,
        "unsynced_pass_seconds": passes[1] if passes else None,
        "host_seconds": host,
        "memory": held,
        "joules_per_image": None if steady.energy_joules is None else steady.energy_joules / calls / images,
        "sm_clock_mhz": sum(clocks) / len(clocks) if clocks else None,
        "power_w": steady.power_w,
        "throttled_share": steady.throttled_share,
        "traced": traced,
        **switches(),
    }
