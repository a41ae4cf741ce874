"""What advice on new images is made from: step times of every batch size, and one training to the target."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastbs.bench.cells import make_cells
from fastbs.bench.measure import measure
from fastbs.bench.plan import BenchPlan
from fastbs.bench.setting import open_setting
from fastbs.config import RunConfig, SweepConfig
from fastbs.data.check import verified_dataset
from fastbs.errors import BadInput
from fastbs.results.files import make_folder, read_json, read_plain_json, write_json
from fastbs.results.sweep_folder import SweepFolder
from fastbs.sweeps.sweep import resolve, sweep

FAST = 0.75  # of the best images/s: the smallest size that has it is the pilot's
FEWEST_UPDATES = 20  # in an epoch, of the largest size that is looked at
LARGEST = 1024
NOISE_SHARE = 0.3  # of the pilot's training time: the noise scale is half of what it is for

Say = Callable[[str], None]


def make_pilot(config: SweepConfig, sizes: tuple[int, ...], budget: float, out: Path, say: Say) -> list[Path]:
    """Measure and train within about `budget` seconds; returns the records: a sweep of one run, and a bench.

    `config` holds the run (with its target) and how its rate follows the batch size; `sizes` may be empty: powers of
    two up to a twentieth of the training images. What is in `out` already is not made again. BadInput when the budget
    is over before the training begins.
    """
    begin = time.monotonic()
    if config.run.target is None:
        raise BadInput("target: a pilot trains to a target; give --target")
    make_folder(out)
    dataset = verified_dataset(Path(config.run.data))
    sizes = sizes or usual_sizes(len(dataset.train))
    pilot, throughput = SweepFolder(out / "pilot"), out / "throughput.json"
    run = RunConfig.from_json(resolve(config.run, dataset)["run"])
    plan = _bench_plan(run, sizes)
    least = len(sizes) * plan.processes * plan.blocks * plan.block_seconds
    if not throughput.exists() and budget < least:
        raise BadInput(f"budget: {budget:g} s; timing {len(sizes)} sizes alone takes {least:.0f} s and more; give more")
    bench = _bench(plan, throughput, say)
    if pilot.document.exists():
        experiment = SweepConfig.from_json(read_json(pilot.document, "sweep-plan")["requested"])
    else:
        left = budget - (time.monotonic() - begin)
        if left <= 0:
            raise BadInput(f"budget: {budget:g} s were over when the step times were known; give more")
        experiment = replace(
            config,
            run=config.run.replace(
                until_target=True,
                noise_scale=True,
                noise_share=NOISE_SHARE,
                seconds=min(left / (1 + NOISE_SHARE), config.run.seconds or left),
            ),
            batch_sizes=(pilot_size(bench),),
            seeds=1,
            controls=False,
        )
        say(f"pilot at batch {experiment.batch_sizes[0]}, at most {left:.0f} s of training")
    sweep(experiment, pilot.path, say)
    return [pilot.path, throughput]


def usual_sizes(train_images: int) -> tuple[int, ...]:
    """1, 2, 4, ... as far as an epoch has twenty updates; at least three that a line can be fitted to."""
    largest = min(LARGEST, max(8, train_images // FEWEST_UPDATES))
    return tuple(2**power for power in range(largest.bit_length()))


def pilot_size(bench: dict[str, Any]) -> int:
    """The smallest size with three quarters of the best images/s; BadInput where none ran."""
    speeds = {row["batch_size"]: row["images_per_second"] for row in bench["rows"] if row["status"] == "ok"}
    if not speeds:
        raise BadInput(f"batch-sizes: none ran ({bench['rows'][0]['status']}: {bench['rows'][0]['reason']})")
    return min(size for size, speed in speeds.items() if speed >= FAST * max(speeds.values()))


def _bench_plan(run: RunConfig, sizes: tuple[int, ...]) -> BenchPlan:
    return BenchPlan(
        questions=("throughput",),
        batch_sizes=sizes,
        models=(run.model,),
        precisions=(run.precision,) if run.precision else (),
        loaders=(run.loader,),
        steps=(run.step,),
        optimizer=run.optimizer,
        data=run.data,
        norm=run.norm,
        image_size=run.image_size,
        augment=run.augment,
        device=run.device,
        threads=run.threads,
        loader_threads=run.loader_threads,
        detail=False,
    )


def _bench(plan: BenchPlan, file: Path, say: Say) -> dict[str, Any]:
    """The document of kind "bench" of `plan`, measured, or read from `file` where it was before."""
    if file.exists():
        there = read_plain_json(file)
        if there.get("plan") != plan.to_json():
            raise BadInput(f"{file}: holds step times of another experiment; choose another --pilot")
        found: dict[str, Any] = there["fastbs"]
        return found
    say(f"step times of batch {', '.join(map(str, plan.batch_sizes))}: {plan.processes} processes each")
    with open_setting(plan) as setting:
        document = measure(make_cells(plan, setting)["throughput"], plan, setting)
    write_json(file, {"benchmarks": [], "plan": plan.to_json(), "fastbs": document})
    return document
