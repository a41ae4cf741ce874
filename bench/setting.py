"""Where a plan is measured: this machine, the images, and what an expert would choose for whatever was left open."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from fastbs import worker
from fastbs.bench.artifacts import planned_artifacts
from fastbs.bench.images import bench_images
from fastbs.bench.plan import BenchPlan
from fastbs.config import RunConfig
from fastbs.data.dataset import Dataset
from fastbs.data.imaginary import imaginary_dataset
from fastbs.errors import BadInput
from fastbs.measurement.threads import available_cores
from fastbs.results.files import write_json

PHOTOGRAPH = 224  # side of synthetic images, unless the net asks for another


class Setting:
    """Answers are found in fresh processes, each once; files lie in `scratch` while the setting is open."""

    def __init__(self, plan: BenchPlan, scratch: Path, images: Dataset | None) -> None:
        self.plan = plan
        self.images = images
        self.machine: dict[str, Any] = _in_fresh_process("fastbs.measurement.machine:machine", {})
        self.device = plan.device or ("cuda" if self.machine["gpu"]["devices"] else "cpu")
        self.threads = plan.threads or available_cores()
        self._scratch = scratch
        self._known: dict[tuple[str, str | None, str], dict[str, Any]] = {}

    @cached_property
    def precisions(self) -> tuple[str | None, ...]:
        return self.plan.precisions or (None,)

    @cached_property
    def artifacts(self) -> list[dict[str, Any]]:
        return planned_artifacts(self.plan)

    def run(self, model: str, precision: str | None, loader: str) -> RunConfig:
        """The resolved run of one model; its batch size, step and rate are still the defaults."""
        return RunConfig.from_json(self._resolved(model, precision, loader)["run"])

    def _resolved(self, model: str, precision: str | None, loader: str) -> dict[str, Any]:
        key = model, precision, loader
        if key not in self._known:
            plan = self.plan
            config = {
                "data": plan.data or "synthetic",
                "model": model,
                "norm": plan.norm,
                "image_size": plan.image_size,
                "augment": plan.augment,
                "optimizer": plan.optimizer,
                "precision": precision,
                "loader": loader,
                "step": "compile"
                if "compile" in plan.steps and not plan.artifacts
                else "eager",  # refused here where nothing can compile
                "device": self.device,
                "threads": self.threads,
                "loader_threads": plan.loader_threads,
            }
            asked = RunConfig.from_json(config, "bench").to_json()
            images = self.images or imaginary_dataset(classes=10, side=PHOTOGRAPH, images=1)
            arguments = {"config": asked, "dataset": images.to_json()}
            self._known[key] = _in_fresh_process("fastbs.training.resolve:resolve", arguments)
        return self._known[key]

    def classes(self, model: str) -> int:
        """Of the images, or of synthetic input: as many as small images and photographs usually have."""
        if self.images is not None:
            return len(self.images.classes)
        side = self.run(model, self.precisions[0], "synthetic").image_size or 0
        return self.plan.classes or (10 if side <= 64 else 1000)

    def dataset_file(self, model: str, loader: str) -> str:
        """The file with the Dataset that `loader` reads; every batch size of the plan fits into an epoch of it."""
        if loader != "synthetic":
            assert self.images is not None
            return self._written("images", self.images)
        classes, largest = self.classes(model), max(self.plan.batch_sizes)
        return self._written(
            f"synthetic-{classes}", imaginary_dataset(classes=classes, side=PHOTOGRAPH, images=max(64, largest))
        )

    def describe(self) -> dict[str, Any]:
        """What the rows share: device, threads, images, artefacts, and what each model is here (seen so far)."""
        models = {
            model: {
                "image_size": known["run"]["image_size"],
                "augment": known["run"]["augment"],
                "loader_threads": known["run"]["loader_threads"],
                "norm": known["norm"],
                "parameters": known["parameters"],
                "classes": self.classes(model),
            }
            for (model, _, _), known in self._known.items()
        }
        return {
            "plan": self.plan.to_json(),
            "device": self.device,
            "threads": self.threads,
            "dataset": None if self.images is None else self.images.describe(),
            "models": models,
            "artifacts": self.artifacts,
        }

    def _written(self, name: str, dataset: Dataset) -> str:
        file = self._scratch / f"{name}.json"
        if not file.exists():
            write_json(file, dataset.to_json())
        return str(file)


@contextmanager
def open_setting(plan: BenchPlan) -> Iterator[Setting]:
    """The setting of `plan`; BadInput names what cannot be: images, model, device, precision, batch sizes."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        images = None
        if plan.data is not None or {"data", "accuracy"} & set(plan.questions) or set(plan.loaders) - {"synthetic"}:
            images = stack.enter_context(bench_images(plan.data))
            if max(plan.batch_sizes) > len(images.train):
                raise BadInput(
                    f"batch-sizes: {max(plan.batch_sizes)} is more than the {len(images.train):,} training images of "
                    f"{images.name}; leave it out"
                )
        yield Setting(plan, scratch, images)


def _in_fresh_process(target: str, arguments: dict[str, Any]) -> Any:
    outcome = worker.call(target, arguments)
    if outcome.bad_input:
        raise BadInput(outcome.reason or "")
    if outcome.status != "ok":
        raise RuntimeError(f"{target} {outcome.status}: {outcome.reason}")
    return outcome.value
