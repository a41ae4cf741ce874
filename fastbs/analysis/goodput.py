"""How much of the throughput at a batch size is progress (AdaptDL, Qiao et al. 2021)."""

from __future__ import annotations


def efficiency(batch_size: float, base: float, b_crit: float) -> float:
    """Progress of an image at `batch_size` relative to one at batch size `base`: (b_crit + base) / (b_crit + B).

    With the fitted critical batch size it is E(base) / E(B); with the noise scale in its place it is an estimate.
    """
    return (b_crit + base) / (b_crit + batch_size)


def goodput(batch_size: float, images_per_second: float, base: float, b_crit: float) -> float:
    """Images/s that count, in images at batch size `base`; where it is most, time to the target is least."""
    return images_per_second * efficiency(batch_size, base, b_crit)
