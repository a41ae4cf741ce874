"""Time to a target against the number of GPUs, on paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastbs.analysis.samples_to_target import SamplesFit
from fastbs.analysis.step_time import StepTimeFit
from fastbs.results.files import SCHEMA

BEYOND = 2  # times the largest batch size that was trained: where the law of images to target ends
WORTH = 0.2  # part of the time that doubling the GPUs must save to be worth it; it could save 0.5
ASSUMPTIONS = (
    "images to the target depend on the global batch size alone, with the rate tuned for it",
    "all GPUs do the same work at the same time: the slowest sets the pace, and none waits for its images",
    "a step is what one GPU needs for its share of the batch, and communication on top, not hidden behind it",
    "communication is a ring's, 2 (G-1)/G of the gradient through each GPU, or a tree's, in proportion to log2 G",
    "evaluation, start-up and failures are left out; there is no gradient accumulation",
)


@dataclass(frozen=True)
class ScaledStep:
    """step(b, G) = max(host, alpha + beta b) + ring 2 (G-1)/G + tree log2 G, seconds; b images on each of G GPUs.

    One GPU communicates nothing. Ring: Patarasuk & Yuan 2009, bandwidth-optimal all-reduce; `ring` is the time that the
    gradient takes through one GPU's link. Tree: each doubling adds a level, `tree` is what it costs.
    """

    one: StepTimeFit
    ring: float = 0.0
    tree: float = 0.0

    def communication(self, gpus: int) -> float:
        return self.ring * 2 * (gpus - 1) / gpus + self.tree * math.log2(gpus)

    def seconds(self, images: float, gpus: int) -> float:
        return self.one.seconds(images) + self.communication(gpus)


@dataclass(frozen=True)
class MeasuredStep:
    """A step that was measured on several GPUs."""

    gpus: int
    batch_size: int  # global
    seconds: float

    @property
    def images(self) -> float:
        """On each GPU."""
        return self.batch_size / self.gpus


def step_of_run(gpus: int, batch_size: int, *, epochs: float, train_images: int, seconds: float) -> MeasuredStep:
    """The step of a run that took so long for so many epochs; evaluations and the like are counted as steps."""
    return MeasuredStep(gpus, batch_size, seconds / (epochs * train_images / batch_size))


def assumed_steps(one: StepTimeFit, gradient_bytes: int, bandwidth: float) -> tuple[ScaledStep, ...]:
    """Without a measurement: communication wholly hidden behind the step, or a ring at `bandwidth` (bytes/s per GPU).

    What a message costs however short it is, is left out: from some tens of GPUs on, both are too fast.
    """
    return ScaledStep(one), ScaledStep(one, ring=gradient_bytes / bandwidth)


def calibrated_steps(one: StepTimeFit, measured: MeasuredStep) -> tuple[ScaledStep, ...]:
    """What one GPU does not explain of a measured step is communication: all of it a ring's, or all of it a tree's.

    ValueError when the measured step is faster than that of one GPU, or has only one.
    """
    rest, gpus = measured.seconds - one.seconds(measured.images), measured.gpus
    if gpus < 2:
        raise ValueError("needs a step of at least two GPUs")
    if rest < 0:
        raise ValueError(
            f"a step of {measured.images:g} images takes {one.seconds(measured.images):.3g} s on one GPU"
            f" and {measured.seconds:.3g} s on {gpus}; not the same GPU or net"
        )
    return ScaledStep(one, ring=rest * gpus / (2 * (gpus - 1))), ScaledStep(one, tree=rest / math.log2(gpus))


def steps_between(few: MeasuredStep, many: MeasuredStep) -> tuple[ScaledStep, ...]:
    """From two measured steps and no curve of one GPU: the fixed cost is all the GPU's own, or all a tree's.

    The two must differ in images per GPU, otherwise nothing tells the fixed cost from that of the images: ValueError.
    """
    if few.images == many.images:
        raise ValueError(f"both steps have {few.images:g} images on each GPU: the fixed cost cannot be told")
    beta = (few.seconds - many.seconds) / (few.images - many.images)
    own = _line(few.seconds - beta * few.images, beta)
    # seconds = beta images + tree log2(gpus), twice
    few_levels, many_levels = math.log2(few.gpus), math.log2(many.gpus)
    determinant = few.images * many_levels - many.images * few_levels
    tree = (few.images * many.seconds - many.images * few.seconds) / determinant
    network = _line(0.0, (few.seconds * many_levels - many.seconds * few_levels) / determinant)
    if min(beta, own.alpha, tree, network.beta) < 0:
        raise ValueError("the two steps give a negative cost; they are not of the same GPU and net")
    return ScaledStep(own), ScaledStep(network, tree=tree)


def seconds_to_target(
    samples: SamplesFit, steps: Sequence[ScaledStep], gpus: int, batch_size: int
) -> tuple[float, float, float]:
    """(low, middle, high) seconds: the geometric mean over `steps`, and their range times the band of the images.

    `samples` counts images. The band is that of the law (95 %); what the models have in common is in no band.
    """
    times = [step.seconds(batch_size / gpus, gpus) / batch_size for step in steps]
    band = samples.band(batch_size)
    return band.low * min(times), samples.images(batch_size) * _middle(times), band.high * max(times)


def scale_table(
    samples: SamplesFit,
    steps: Sequence[ScaledStep],
    gpus: Sequence[int],
    *,
    most_images: int,
    train_images: int,
    worth: float = WORTH,
) -> dict[str, Any]:
    """A document of kind "scale": for each number of GPUs the batch size that is fastest, and what it costs.

    `most_images` fit on one GPU; the global batch size goes up to twice the largest that was trained. A row without
    seconds is a number of GPUs that even one image each takes beyond that. "stops" is the first number of GPUs whose
    doubling saves less than `worth` of the time, with the same for the fastest and the slowest of `steps` alone.
    """
    limit = BEYOND * samples.batch_sizes[-1]
    alone = _best(samples, steps, 1, most_images, limit)
    rows = [_row(samples, steps, count, most_images, limit, alone) for count in sorted(set(gpus))]
    for row in rows:
        row["epochs"] = samples.images(row["batch_size"]) / train_images if row["batch_size"] else None
    each = [_stops(samples, [step], most_images, limit, worth) for step in steps]
    return {
        "schema": SCHEMA,
        "kind": "scale",
        "rows": rows,
        "stops": {"gpus": _stops(samples, steps, most_images, limit, worth), "of_each_model": each, "worth": worth},
        "inputs": {
            "e_min_images": samples.e_min,
            "b_crit": samples.b_crit if math.isfinite(samples.b_crit) else None,
            "trained_batch_sizes": list(samples.batch_sizes),
            "largest_batch_size": limit,
            "most_images_per_gpu": most_images,
            "train_images": train_images,
            "steps": [
                {"alpha": s.one.alpha, "beta": s.one.beta, "host": s.one.host, "ring": s.ring, "tree": s.tree}
                for s in steps
            ],
        },
        "assumptions": list(ASSUMPTIONS),
    }


def _row(
    samples: SamplesFit, steps: Sequence[ScaledStep], gpus: int, most_images: int, limit: int, alone: int | None
) -> dict[str, Any]:
    batch_size = _best(samples, steps, gpus, most_images, limit)
    row: dict[str, Any] = {"gpus": gpus, "batch_size": batch_size}
    keys = (
        "images_per_gpu",
        "step_seconds",
        "communication",
        "seconds",
        "band",
        "efficiency",
        "doubling_saves",
        "binds",
    )
    if batch_size is None or alone is None:
        return row | dict.fromkeys(keys) | {"binds": "law"}
    low, seconds, high = seconds_to_target(samples, steps, gpus, batch_size)
    images = batch_size // gpus
    step_seconds = _middle([step.seconds(images, gpus) for step in steps])
    own = _middle([step.one.seconds(images) for step in steps])
    twice = _best(samples, steps, 2 * gpus, most_images, limit)
    binds = "memory" if images == most_images else "law" if batch_size + gpus > limit else None
    bounded = math.isfinite(low) and math.isfinite(high)
    values = (
        images,
        step_seconds,
        1 - own / step_seconds,
        seconds,
        [low, high] if bounded else None,
        seconds_to_target(samples, steps, 1, alone)[1] / (gpus * seconds),
        None if twice is None else 1 - seconds_to_target(samples, steps, 2 * gpus, twice)[1] / seconds,
        binds,
    )
    return row | dict(zip(keys, values, strict=True))


def _best(samples: SamplesFit, steps: Sequence[ScaledStep], gpus: int, most_images: int, limit: int) -> int | None:
    """The global batch size of the least time, a whole number of images on each GPU; None where none is allowed."""
    sizes = range(gpus, min(most_images * gpus, limit) + 1, gpus)

    def seconds(size: int) -> float:
        return samples.updates(size) * _middle([step.seconds(size // gpus, gpus) for step in steps])

    return min(sizes, key=seconds, default=None)


def _stops(samples: SamplesFit, steps: Sequence[ScaledStep], most_images: int, limit: int, worth: float) -> int | None:
    """The first power of two whose doubling saves less than `worth`; None where the law ends before that."""
    gpus, size = 1, _best(samples, steps, 1, most_images, limit)
    while size is not None:
        twice = _best(samples, steps, 2 * gpus, most_images, limit)
        if twice is None:
            return None
        now, then = (seconds_to_target(samples, steps, n, b)[1] for n, b in ((gpus, size), (2 * gpus, twice)))
        if 1 - then / now < worth:
            return gpus
        gpus, size = 2 * gpus, twice
    return None


def _line(alpha: float, beta: float) -> StepTimeFit:
    return StepTimeFit(alpha, beta, 0.0, (), ())


def _middle(values: Sequence[float]) -> float:
    """Geometric mean."""
    return math.exp(math.fsum(map(math.log, values)) / len(values))
