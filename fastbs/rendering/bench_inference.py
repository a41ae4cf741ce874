"""Words of the table of inference: which net, computed how, and what stands below it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastbs.rendering.numbers import NOTHING, count, significant

Row = Mapping[str, Any]


def net_text(row: Row, rows: Sequence[Row]) -> str:
    """Who computes: "onnx"; and what `rows` differ in: "onnx fp16 of 8, graph", trained at batch size 8.

    What all have in common is the headline's.
    """

    def differ(name: str) -> bool:
        return len({other[name] for other in rows}) > 1

    precision = f" {row['precision']}" if differ("precision") else ""
    trained = f" of {row['trained_at']:,}" if differ("trained_at") and row["trained_at"] else ""
    graph = ", graph" if differ("cuda_graph") and row["cuda_graph"] else ""
    return f"{row['backend']}{precision}{trained}{graph}"


def parts_text(row: Row) -> str:
    """Microseconds on the card: 12+210+4.0."""
    parts = [row[f"{part}_ms"] for part in ("h2d", "compute", "d2h")]
    return NOTHING if None in parts else "+".join(significant(1e3 * part, 2) for part in parts)


def inference_sentences(rows: Sequence[Row]) -> list[str]:
    """Loading, where the host holds the card up, percentiles that are missing, and why rows are."""
    return [*_loading(rows), *_host_bound(rows), *_few_calls(rows), *_reasons(rows)]


def _loading(rows: Sequence[Row]) -> Iterator[str]:
    times: dict[str, list[float]] = {}
    for row in rows:
        if row["load_ms"] is not None:
            times.setdefault(net_text(row, rows), []).append(row["load_ms"])
    if times:
        medians = [f"{name} {significant(statistics.median(found))}" for name, found in times.items()]
        yield f"load ms, before the first call: {', '.join(medians)}"


def _host_bound(rows: Sequence[Row]) -> Iterator[str]:
    where = _at(rows, [row for row in rows if row["host_bound"]])
    if where:
        yield f"host-bound, enqueueing takes longer than computing: {'; '.join(where)}"


def _few_calls(rows: Sequence[Row]) -> Iterator[str]:
    where = _at(rows, [row for row in rows if row["latency"] and row["latency"]["p99_ms"] is None])
    if where:
        yield f"no p99 from fewer than 100 calls: {'; '.join(where)}"


def _reasons(rows: Sequence[Row]) -> Iterator[str]:
    """Each reason once, with all that it holds for."""
    reasons: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["reason"]:
            counts = ", ".join(f"{n} {status}" for status, n in row["status_counts"].items())
            status = row["status"] if len(row["status_counts"]) == 1 else counts
            reasons.setdefault((status, row["reason"]), []).append(row)
    for (status, reason), found in reasons.items():
        yield f"{'; '.join(_at(rows, found))}: {status}: {reason}"


def _at(rows: Sequence[Row], found: Sequence[Row]) -> list[str]:
    """Each net of `found` with its batch sizes: "eager at 1, 2, 4"."""
    sizes: dict[str, list[int]] = {}
    for row in found:
        sizes.setdefault(net_text(row, rows), []).append(row["batch_size"])
    return [f"{name} at {', '.join(map(count, batches))}" for name, batches in sizes.items()]
