"""What an expert would choose on this machine for whatever was left open."""

from __future__ import annotations

from typing import Any

import torch

from fastbs import models
from fastbs.config import RunConfig
from fastbs.data.dataset import Dataset
from fastbs.data.loaders import make_loader
from fastbs.errors import BadInput
from fastbs.measurement.machine import machine
from fastbs.measurement.threads import available_cores
from fastbs.models.normalisation import norm_of
from fastbs.training.compiler import why_no_compiler
from fastbs.training.precision import batch_dtype, default_precision, set_up

SMALL_IMAGE = 64  # up to this side images are trained on as they are
LARGE_IMAGE = 224  # the usual size for larger ones
OWN_SIZE = {"small": SMALL_IMAGE, "inception_v3": 299}  # nets made for another size


def resolve(config: dict[str, Any], dataset: dict[str, Any], local_ranks: int = 1) -> dict[str, Any]:
    """Fill in every open field of a RunConfig: {"run": config, "machine", "parameters": how many, "norm": its layers}.

    Called in a fresh process before anything is planned, so that a mistake in the model, the precision or the device
    is said up front. BadInput names the field at fault. Processes that make the run together on this machine,
    `local_ranks` of them, share its cores and have a GPU each.
    """
    run, images = RunConfig.from_json(config), Dataset.from_json(dataset)
    device = torch.device(run.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BadInput("device: cuda was asked for and no GPU can be used; see 'fastbs doctor'")
    if device.type == "cuda" and local_ranks > torch.cuda.device_count():
        raise BadInput(
            f"gpus: {local_ranks} ranks on this host need a GPU each, and {torch.cuda.device_count()} can be used"
        )
    side = min(images.height, images.width)
    usual = OWN_SIZE.get(run.model, LARGE_IMAGE)
    image_size = run.image_size or (side if side <= SMALL_IMAGE and usual <= LARGE_IMAGE else usual)
    if run.step == "compile" and (reason := why_no_compiler(device)):
        raise BadInput(f"step: {reason}")
    precision = run.precision or default_precision(device)
    set_up(precision, device)
    cores = max(1, available_cores() // local_ranks)
    resolved = run.replace(
        device=device.type,
        image_size=image_size,
        augment=run.augment
        or ("crop-flip" if image_size <= SMALL_IMAGE or run.loader == "resident" else "random-resized"),
        precision=precision,
        threads=run.threads or cores,
        loader_threads=run.loader_threads if run.loader_threads is not None else min(8, cores),
        eval_images=run.eval_images or len(images.train),
    )
    model = models.build(
        run.model,
        classes=len(images.classes),
        image_size=image_size,
        norm=run.norm,
        pretrained=run.pretrained,
        init=run.init,
    )
    for split in ("train", "validation"):  # refuses what the loader cannot do; nothing is read yet
        make_loader(
            resolved.loader,
            images,
            split,
            batch_size=1,
            image_size=image_size,
            augment=resolved.augment or "none",
            dtype=batch_dtype(precision),
            device=device,
            seed=resolved.seed,
            threads=1,
        ).close()
    return {
        "run": resolved.to_json(),
        "machine": machine(),
        "parameters": sum(p.numel() for p in model.parameters()),
        "norm": norm_of(model),
    }
