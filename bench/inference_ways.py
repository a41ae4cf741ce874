"""The ways to compute inference that a plan compares: backends of artefacts, or of new nets."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastbs.bench.plan import BenchPlan
from fastbs.bench.setting import Setting


@dataclass(frozen=True)
class Way:
    """`identity` is that of its rows but for graph and batch size; `target` measures it with `arguments` of its own."""

    identity: dict[str, Any]
    target: str
    arguments: dict[str, Any]


def inference_ways(plan: BenchPlan, setting: Setting) -> Iterator[Way]:
    """Of each artefact its own backend and the same net in torch, which artefacts may share; or new nets in torch.

    Torch computes in the artefact's precision, but on a CPU in fp32, as ONNX Runtime does there; or in those that the
    plan names.
    """
    return _of_artifacts(plan, setting) if plan.artifacts else _of_new_nets(plan, setting)


def _of_artifacts(plan: BenchPlan, setting: Setting) -> Iterator[Way]:
    run = setting.run(plan.models[0], setting.precisions[0], "synthetic")
    for artifact in setting.artifacts:
        own = artifact["precision"]
        in_torch = plan.precisions or ("fp32" if setting.device == "cpu" else own,)
        for backend, precision in [(artifact["backend"], own), *itertools.product(plan.step_modes, in_torch)]:
            identity = {"model": artifact["model"], "precision": precision, "backend": backend}
            yield Way(
                identity=identity | {"trained_at": artifact["trained_at"]},
                target="fastbs.bench.deployed_inference:measure_artifact",
                arguments={
                    "folder": artifact["folder"],
                    "digest": artifact["digest"],
                    "precision": precision,
                    "backend": backend,
                    "image_size": run.image_size,
                },
            )


def _of_new_nets(plan: BenchPlan, setting: Setting) -> Iterator[Way]:
    for model, precision, step in itertools.product(plan.models, setting.precisions, plan.step_modes):
        run = setting.run(model, precision, "synthetic")
        yield Way(
            identity={"model": model, "precision": run.precision, "backend": step, "trained_at": None},
            target="fastbs.bench.inference:measure_inference",
            arguments={
                "model": model,
                "norm": run.norm,
                "classes": setting.classes(model),
                "image_size": run.image_size,
                "precision": run.precision,
                "step": step,
            },
        )
