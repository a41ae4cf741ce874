"""Where batches come from, by name."""

from __future__ import annotations

from typing import Literal

import torch

from fastbs.config import Augment, LoaderName
from fastbs.data.batch import Loader
from fastbs.data.dataset import Dataset
from fastbs.data.loaders.chunk_loader import LoaderSettings
from fastbs.errors import BadInput


def make_loader(
    name: LoaderName,
    dataset: Dataset,
    split: Literal["train", "validation"],
    *,
    batch_size: int,
    image_size: int,
    augment: Augment,
    dtype: torch.dtype,
    device: torch.device,
    seed: int,
    threads: int,
    rank: int = 0,
    ranks: int = 1,
) -> Loader:
    """A loader at the beginning of epoch 0. Validation is never augmented. Nothing is read before the first batch.

    image_size is the side of the square images in pixels, threads how many decode (worker processes for `torch`).
    With several `ranks`, each has its own part of every batch of ranks * batch_size images, and of validation.
    BadInput: a batch that the training set cannot fill, `resident` with what cannot be kept, DALI not installed.
    """
    settings = LoaderSettings(
        dataset=dataset,
        split=split,
        batch_size=batch_size,
        image_size=image_size,
        augment=augment if split == "train" else "none",
        dtype=dtype,
        device=device,
        seed=seed,
        threads=threads,
        rank=rank,
        ranks=ranks,
    )
    if settings.images < 1 and split == "validation":
        raise BadInput(f"{dataset.name}: {len(dataset.validation)} validation images for {ranks} ranks; use fewer")
    if settings.images < 1:
        raise BadInput(
            f"batch-size: {settings.global_batch_size} is more than the {len(settings.listing)} training images of"
            f" {dataset.name}; use a smaller one"
        )
    # Imported here, so that a loader's library is needed only by who uses it.
    if name == "torch":
        from fastbs.data.loaders.torch_loader import TorchLoader

        return TorchLoader(settings)
    if name == "synthetic":
        from fastbs.data.loaders.synthetic import SyntheticLoader

        return SyntheticLoader(settings)
    try:
        from fastbs.data.loaders.dali import DaliLoader
        from fastbs.data.loaders.resident import ResidentLoader
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "nvidia":
            raise
        raise BadInput(f"loader: {name} needs DALI; install nvidia-dali-cuda120 or use loader torch") from error
    return DaliLoader(settings) if name == "dali" else ResidentLoader(settings)
