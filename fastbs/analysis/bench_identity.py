"""What makes two bench rows the same row: the settings that name it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

IDENTITY: dict[str, tuple[str, ...]] = {
    "throughput": ("model", "precision", "loader", "input", "step", "allocator", "batch_size"),
    "inference": ("model", "precision", "backend", "trained_at", "cuda_graph", "batch_size"),
    "data": ("loader", "input", "image_size", "batch_size"),
    "update": ("model", "optimizer", "implementation"),
    "accuracy": ("model", "precision", "loader", "step", "batch_size"),
    "step": ("name", "batch_size"),
}


def row_key(row: Mapping[str, Any]) -> tuple[Hashable, ...]:
    """The question and the values that identify `row` within and across files; the order is that of IDENTITY."""
    return (row["question"], *(row[name] for name in IDENTITY[row["question"]]))


def curve_key(row: Mapping[str, Any]) -> tuple[Hashable, ...]:
    """`row_key` without the batch size: rows that share it lie on one curve. Curves have the same key."""
    names = IDENTITY[row["question"]]
    return (row["question"], *(row[name] for name in names if name != "batch_size"))
