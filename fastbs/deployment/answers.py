"""What a deployed net says of images, and whether it says the same whatever batch they come in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastbs.analysis.parity_gate import ParityGate
from fastbs.data.dataset import Dataset
from fastbs.data.loaders import make_loader
from fastbs.deployment.open_artifact import Deployed
from fastbs.deployment.trained_net import TrainedNet
from fastbs.training import precision as number_format

Logits = NDArray[np.floating[Any]]
FEW = 8  # images at least that a batch size is tried with


class Refused(Exception):
    """A deployed net that does not take a batch which it is said to take."""


def logits_of(deployed: Deployed, images: Tensor) -> Logits:
    """(B, classes) for images (B, 3, side, side), B at most `deployed.batch.max`.

    A batch too small for the artefact is filled up with copies of its last image, whose answers are dropped. Refused
    when the artefact raises anything.
    """
    missing = deployed.batch.padded(len(images)) - len(images)
    batch = torch.cat([images, images[-1:].expand(missing, -1, -1, -1)]) if missing else images
    try:
        return deployed.forward(batch.contiguous()).cpu().numpy()[: len(images)]
    except Exception as error:  # each runtime has its own
        said = " ".join(str(error).split())
        takes = deployed.batch.describe()
        raise Refused(f"batch {len(batch)}: refused, though it is said to take {takes} ({said})") from error


@dataclass(frozen=True)
class Answers:
    """Logits of N validation images, in their order, and some of the images themselves for further questions."""

    expected: Logits  # (N, classes) of the trained net, in fp32
    answered: Logits  # (n, classes) of the deployed one; n < N where it refused some
    labels: NDArray[np.integer[Any]]  # (N,)
    refused: list[str]  # why, a sentence for each batch
    sample: Tensor  # (k, 3, side, side), at random: enough for the largest batch, if there are as many
    chosen: NDArray[np.integer[Any]]  # (k,): which of the N they are


def answers_to(trained: TrainedNet, deployed: Deployed, dataset: Dataset, threads: int) -> Answers:
    """Feed the validation images of `dataset` to both nets, preprocessed as in training, in batches of `opt`."""
    device = deployed.device
    number_format.set_up("fp32", device)
    net = trained.net.to(device)
    images_there = len(dataset.validation)
    chosen = np.random.default_rng(0).permutation(images_there)[: max(deployed.batch.max, FEW * FEW)]
    kept = np.sort(chosen)
    expected, answered, labels, refused, sample = [], [], [], [], []
    loader = make_loader(
        trained.run.loader,
        dataset,
        "validation",
        batch_size=deployed.batch.opt,
        image_size=trained.side,
        augment="none",
        dtype=torch.float32,
        device=device,
        seed=0,
        threads=threads,
    )
    seen = 0
    with torch.inference_mode(), loader:
        for images, truth in loader:
            expected.append(net(images).cpu().numpy())
            labels.append(truth.cpu().numpy())
            here = kept[(kept >= seen) & (kept < seen + len(images))] - seen
            sample.append(images[torch.from_numpy(here).to(device)])
            seen += len(images)
            try:
                answered.append(logits_of(deployed, images))
            except Refused as refusal:
                refused.append(str(refusal))
    place = np.searchsorted(kept, chosen)
    return Answers(
        np.concatenate(expected),
        np.concatenate(answered) if answered else np.empty((0, len(trained.classes)), np.float32),
        np.concatenate(labels),
        refused,
        torch.cat(sample)[torch.from_numpy(place).to(device)],
        chosen,
    )


def different_answers(deployed: Deployed, answers: Answers, gate: ParityGate, sizes: Sequence[int]) -> list[str]:
    """A sentence for each of the batch sizes at which an answer leaves the gate, or the artefact refuses to answer.

    Sizes beyond the sample are filled by repeating its images.
    """
    failures, spread = [], float(answers.expected.std())
    for size in sizes:
        count = max(size, FEW // size * size)
        rows = [index % len(answers.sample) for index in range(count)]
        images = answers.sample[rows]
        try:
            logits = np.concatenate([logits_of(deployed, images[i : i + size]) for i in range(0, count, size)])
        except Refused as refusal:
            failures.append(str(refusal))
            continue
        error = float(np.abs(logits - answers.expected[answers.chosen[rows]]).max()) / spread
        if not error <= gate.error:
            failures.append(f"batch {size}: an answer is off by {error:.2g} spreads; at most {gate.error:g} may be")
    return failures
