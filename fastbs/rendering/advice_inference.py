"""What an advice says of the batch size at inference, which a limit on latency decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastbs.rendering.deployed import kind
from fastbs.rendering.lines import one_line
from fastbs.rendering.numbers import count, significant

Row = Mapping[str, Any]


def inference_sentences(found: Row) -> list[str]:
    """`found` is that of `analysis.advice.inference`: the best first, then each kind of artefact."""
    limit, best = f"p99 within {found['limit_ms']:g} ms", found["best"]
    if best:
        said = [f"{limit}, most images/s: {_named(best)} at batch {count(best['batch_size'])} ({_speed(best)})"]
    elif found["exit_code"] == 1:
        said = [f"NO BATCH SIZE with {limit}"]
    else:
        said = [f"{limit}: not known, {'no latency counts' if found['kinds'] else 'nothing was exported'}"]
    said += [f"{_named(row)}: {_of_kind(row)}" for row in found["kinds"]]
    return [
        *said,
        "latency of the exported net does not depend on its training batch size (same layers, same shapes): the "
        "limit is one of the inference batch size, not of the recommendation",
    ]


def _of_kind(row: Row) -> str:
    failed = f"; {row['failed']} of {row['exported']} failed the check: not to be used" if row["failed"] else ""
    if row["missing"]:
        return one_line(row["missing"]) + failed
    within, fastest, largest = row["within"], row["fastest"], row["batch_sizes"][-1]
    if not within:
        least = row["least"]
        said = f"none; the least p99 is {significant(least['p99_ms'])} ms, at batch {count(least['batch_size'])}"
        return said + failed
    size = within["batch_size"]
    said = f"up to batch {count(size)}{', the largest measured' if size == largest else ''} ({_speed(within)})"
    if fastest["batch_size"] != size:
        said += f", most images/s at {count(fastest['batch_size'])} ({_speed(fastest)})"
    return said + failed


def _named(row: Row) -> str:
    graph = ", CUDA graph," if row["cuda_graph"] else ""
    return f"{kind(row)}{graph} on {one_line(row['machine'])}" if row["machine"] else f"{kind(row)}{graph}"


def _speed(one: Row) -> str:
    of = f", the worst of {one['artefacts']} artefacts" if one["artefacts"] > 1 else ""
    return f"p99 {significant(one['p99_ms'])} ms{of}; {significant(one['images_per_second'])} images/s"
