"""How far the logits of a deployed net are from those of the net it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Two nets on the same images. Errors are absolute differences of logits over `spread`; an infinite one is None."""

    images: int
    top1_reference: float  # fraction of images
    top1: float  # of the deployed net
    flips: int  # images to which the two give different classes
    flip_margins: tuple[float, ...]  # reference's best logit minus that of the class the other chose, over spread
    spread: float  # standard deviation of all of the reference's logits
    error_max: float | None
    error_p99: float | None
    error_mean: float | None
    not_finite: int  # images with a logit of the deployed net that is not a number or infinite

    @property
    def agreement(self) -> float:
        return 1 - self.flips / self.images

    def to_json(self) -> dict[str, Any]:
        return {
            "images": self.images,
            "top1_reference": self.top1_reference,
            "top1": self.top1,
            "agreement": self.agreement,
            "flips": self.flips,
            "flip_margins": list(self.flip_margins),
            "spread": self.spread,
            "error": {"max": self.error_max, "p99": self.error_p99, "mean": self.error_mean},
            "not_finite": self.not_finite,
        }


def compare_logits(reference: Array, deployed: Array, labels: NDArray[np.integer[Any]]) -> Parity:
    """`reference` and `deployed` are logits (N, classes) for the same N >= 1 images in the same order, labels (N,).

    A class is the first of the largest logits, as torch.argmax and numpy.argmax choose it on a CPU. ValueError when
    shapes differ, or the reference itself is not finite or the same everywhere: nothing can be measured against it.
    """
    if reference.shape != deployed.shape or len(labels) != len(reference) or not len(reference):
        raise ValueError(f"logits {reference.shape} and {deployed.shape} for {len(labels)} labels")
    reference, deployed = reference.astype(np.float64), deployed.astype(np.float64)
    spread = float(reference.std())
    if not np.isfinite(spread) or spread == 0:
        raise ValueError(f"the reference's logits spread by {spread}")
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(deployed).all(axis=1))
    here, there = reference.argmax(axis=1), np.where(finite, np.nan_to_num(deployed).argmax(axis=1), -1)
    flipped = np.flatnonzero(here != there)
    error = np.abs(deployed - reference) / spread if finite.all() else None
    return Parity(
        images=len(labels),
        top1_reference=float((here == labels).mean()),
        top1=float((there == labels).mean()),
        flips=len(flipped),
        flip_margins=tuple(
            float((reference[i, here[i]] - reference[i, there[i]]) / spread) for i in flipped if finite[i]
        ),
        spread=spread,
        error_max=None if error is None else float(error.max()),
        error_p99=None if error is None else float(np.percentile(error, 99)),
        error_mean=None if error is None else float(error.mean()),
        not_finite=int((~finite).sum()),
    )
