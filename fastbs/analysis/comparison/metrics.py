"""What can be compared, in which unit, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """`scale` is "ratio" for values above 0, compared by their logarithms, and "points" for fractions, by difference.

    `worse` and `better` are the words of its verdicts.
    """

    name: str
    label: str  # a table's column
    higher_is_better: bool
    scale: Literal["ratio", "points"] = "ratio"
    worse: str = "slower"
    better: str = "faster"


METRICS = {
    metric.name: metric
    for metric in (
        Metric("images_per_second", "images/s", higher_is_better=True),
        Metric("latency_p50_ms", "ms p50", higher_is_better=False),  # of one inference, waited for
        Metric("latency_p99_ms", "ms p99", higher_is_better=False),
        Metric("seconds", "seconds", higher_is_better=False),  # of one round of a foreign benchmark
        Metric("update_us", "us", higher_is_better=False),  # of one weight update
        Metric("time_to_target_s", "s to target", higher_is_better=False),
        Metric("top1", "top1", higher_is_better=True, scale="points", worse="worse", better="better"),
        Metric("memory_bytes", "memory", higher_is_better=False, worse="more", better="less"),
        Metric("energy_joules_per_image", "J/image", higher_is_better=False, worse="more", better="less"),
    )
}
# The metric of each question that is compared unless others are asked for; rows of foreign files are "benchmark".
PRIMARY = {
    "throughput": ("images_per_second",),
    "inference": ("images_per_second",),
    "data": ("images_per_second",),
    "step": ("images_per_second",),
    "update": ("update_us",),
    "accuracy": ("time_to_target_s", "top1"),
    "run": ("images_per_second", "time_to_target_s", "top1"),  # of a sweep
    "benchmark": ("seconds",),
}
