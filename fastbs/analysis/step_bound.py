"""What a step's time goes to, as shares that name what bounds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WITHIN = 0.05  # phases that miss the step by more are not its parts


def step_shares(row: Mapping[str, Any]) -> dict[str, float | None]:
    """Shares of the step by cause: input, update, communication, launch, compute, memory; in [0, 1], None where not
    known.

    input: waiting for images. update: the optimizer. communication: averaging gradients over ranks, as far as it does
    not hide behind the backward pass. compute: convolutions and matrix products, as a profiler sees
    them; where it cannot, their floating-point operations at the speed of a large product, which is the least that they
    can take. launch, on a CPU: operators times what one costs where there is next to nothing to compute; on a GPU: the
    time in which the card has nothing to do, without the wait for images. memory: what is left, which is operators that
    read and write more than they compute. They overlap where the host's work hides behind the card's, so that their sum
    may pass 1; memory is then 0.
    """
    step, phases = row["step_seconds"], row["phases"]
    shares: dict[str, float | None] = {
        "input": phases["input"] / step,
        "update": phases["update"] / step,
        "communication": None if row["communication_seconds"] is None else row["communication_seconds"] / step,
        "launch": _launch(row),
        "compute": (row["arithmetic_seconds"] or least_arithmetic_seconds(row)) / step,
    }
    bounded = {name: None if share is None else min(1.0, max(0.0, share)) for name, share in shares.items()}
    known = [share for share in bounded.values() if share is not None]
    return bounded | {"memory": max(0.0, 1 - sum(known))}


def least_arithmetic_seconds(row: Mapping[str, Any]) -> float:
    """What a step's convolutions and matrix products would take at the speed of a large matrix product."""
    return float(row["flops"] / row["matmul_flops_per_second"])


def step_bound(shares: Mapping[str, float | None]) -> str:
    """The cause with the largest share."""
    return max((name for name, share in shares.items() if share is not None), key=lambda name: shares[name] or 0.0)


def unexplained(row: Mapping[str, Any]) -> float:
    """What the phases, timed one by one, miss of the step that was timed as a whole: a fraction, negative where they
    exceed it."""
    return 1 - float(sum(row["phases"].values())) / float(row["step_seconds"])


def _launch(row: Mapping[str, Any]) -> float | None:
    step = float(row["step_seconds"])
    if row["busy_seconds"] is not None:
        return 1 - row["busy_seconds"] / step - row["phases"]["input"] / step
    if row["operators"] is None:
        return None
    return float(row["operators"] * row["operator_seconds"] / step)
