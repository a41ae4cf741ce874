"""What a deployed net says of images, and whether it says the same whatever batch they come in."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastbs.analysis.parity_gate import ParityGate
from fastbs.deployment.open_artifact import Deployed

FEW = 8  # images at least that a batch size is tried with


class Refused(Exception):
    """A deployed net that does not take a batch which it is said to take."""


def logits_of(deployed: Deployed, images: Tensor) -> NDArray[np.floating[Any]]:
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


def different_answers(
    deployed: Deployed, images: Tensor, expected: NDArray[np.floating[Any]], gate: ParityGate
) -> tuple[list[str], list[int]]:
    """Sizes at which the answers leave the gate, in a sentence each, and all sizes that were tried.

    `expected` are logits of the trained net whose first rows belong to `images`. Sizes beyond them are filled by
    repeating the images. An artefact that refuses a size that it says it takes is a failure too.
    """
    failures, spread = [], float(expected.std())
    sizes = deployed.batch.to_try()
    for size in sizes:
        count = max(size, min(FEW // size * size, len(images)) // size * size)
        rows = [index % len(images) for index in range(count)]
        try:
            logits = np.concatenate([logits_of(deployed, images[rows[i : i + size]]) for i in range(0, count, size)])
        except Refused as refusal:
            failures.append(str(refusal))
            continue
        error = float(np.abs(logits - expected[rows]).max()) / spread
        if not error <= gate.error:
            failures.append(f"batch {size}: an answer is off by {error:.2g} spreads; at most {gate.error:g} may be")
    return failures, sizes
