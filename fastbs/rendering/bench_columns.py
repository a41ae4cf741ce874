"""The columns of a bench table: those that any row has a value for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fastbs.rendering.bench_inference import net_text, parts_text
from fastbs.rendering.numbers import NOTHING, count, percent, significant, size, with_interval

Row = dict[str, Any]
Column = tuple[str, Callable[[Row], str]]


def columns_of(question: str, rows: Sequence[Row]) -> list[Column]:
    """Name and text of each column; a column without a value in any of `rows` is left out."""
    columns = {"update": _update, "accuracy": _accuracy, "inference": _inference}.get(question, _steps)(rows)
    shown = [column for column in columns if any(column[1](row) != NOTHING for row in rows)]
    if any(row["status"] != "ok" for row in rows) and question != "inference":
        shown.append(("processes", _statuses))
    return shown


def _steps(rows: Sequence[Row]) -> Iterator[Column]:
    speeds = sorted((row["images_per_second"] for row in rows if row["images_per_second"] is not None), reverse=True)

    def rank(row: Row) -> str:
        speed = row["images_per_second"]
        return NOTHING if speed is None else str(1 + speeds.index(speed))

    yield "batch", lambda row: count(row["batch_size"])
    if rows[0]["question"] == "data":
        yield "loader", lambda row: str(row["loader"])
    yield {"data": "batch ms"}.get(rows[0]["question"], "step ms"), _step_ms
    yield "images/s", lambda row: significant(row["images_per_second"])
    yield "rank", rank
    yield "of best", lambda row: _of(row["images_per_second"], speeds)
    yield "update ms", _update_ms
    yield "input", _input
    yield "vs float32", lambda row: _times(row.get("ratio_to_naive"))
    yield "vs uint8", lambda row: _times(row.get("ratio_to_uint8"))
    yield "first batch s", lambda row: significant(row.get("first_batch_seconds"))
    yield "off fit", lambda row: _signed_percent(row["residual"])
    yield "memory", lambda row: size(_memory(row))
    yield "mJ/image", lambda row: significant(_thousand(row["energy_joules_per_image"]))
    yield "faults/image", lambda row: significant(row["minor_faults_per_image"])
    yield "MHz", lambda row: count(row["sm_clock_mhz"])
    yield "throttled", lambda row: percent(row["throttled_share"]) if row["throttled_share"] else NOTHING


def _inference(rows: Sequence[Row]) -> Iterator[Column]:
    """A row without a speed says its status there: columns are dear, and the reason stands below."""
    speeds = sorted((row["images_per_second"] for row in rows if row["images_per_second"] is not None), reverse=True)

    def percentile(name: str) -> Callable[[Row], str]:
        return lambda row: significant((row["latency"] or {}).get(name))

    def speed(row: Row) -> str:
        value, interval = row["images_per_second"], row["images_per_second_interval"]
        return str(row["status"]) if value is None else with_interval(value, interval)

    yield "batch", lambda row: count(row["batch_size"])
    yield "net", lambda row: net_text(row, rows)
    yield "p50 ms", percentile("p50_ms")
    for p in (90, 95, 99):
        yield f"p{p}", percentile(f"p{p}_ms")
    yield "images/s", speed
    yield "first ms", lambda row: significant(row["first_ms"])
    if any(row["compute_ms"] is not None for row in rows):
        yield "H2D+net+D2H us", parts_text
        yield "enqueue", lambda row: significant(_thousand(row["enqueue_ms"]))
        yield "MHz", lambda row: count(row["sm_clock_mhz"])
        yield "throttled", lambda row: percent(row["throttled_share"]) if row["throttled_share"] else NOTHING
    else:
        yield "of best", lambda row: _of(row["images_per_second"], speeds)
        yield "memory", lambda row: size(_memory(row))


def _update(rows: Sequence[Row]) -> Iterator[Column]:
    yield "update", lambda row: str(row["implementation"])
    yield "us", lambda row: with_interval(row["us"], row["us_interval"])
    yield "GB/s", lambda row: significant(row["gb_per_second"])
    yield "of stream", lambda row: percent(row["stream_share"])
    yield "of fused's time", lambda row: percent(row.get("time_to_fused"))
    yield "launches", lambda row: count(row["launches"])
    yield "host us", lambda row: significant(row["host_us"])
    for batch_size in dict.fromkeys(point["batch_size"] for row in rows for point in row["curve"] or ()):
        yield f"at {batch_size}", _share_at(batch_size)


def _accuracy(rows: Sequence[Row]) -> Iterator[Column]:
    yield "batch", lambda row: count(row["batch_size"])
    yield "top1", lambda row: with_interval(row["top1"], row["top1_interval"])
    yield f"s to {_target(rows)}", lambda row: significant(row["time_to_target_s"])
    yield "reached", lambda row: f"{row['targets_reached']}/{sum(row['status_counts'].values())}"
    yield "train s", lambda row: significant(row["train_seconds"])


def _share_at(batch_size: int) -> Callable[[Row], str]:
    """The update's share of a step of that size, with a digit after the point below 10 %."""

    def share(row: Row) -> str:
        found = next((point["share"] for point in row["curve"] or () if point["batch_size"] == batch_size), None)
        return f"{100 * found:.1f} %" if found is not None and found < 0.0995 else percent(found)

    return share


def _step_ms(row: Row) -> str:
    return with_interval(row["step_ms"], row["step_ms_interval"])


def _update_ms(row: Row) -> str:
    """With its share of the step."""
    share = "" if row["update_share"] is None else f" ({percent(row['update_share'])})"
    return f"{significant(row['update_ms'])}{share}"


def _of(speed: float | None, speeds: Sequence[float]) -> str:
    if speed is None:
        return NOTHING
    return "best" if speed == speeds[0] else percent(speed / speeds[0])


def _input(row: Row) -> str:
    """How much faster the step would be with synthetic input; "bound" where the interval says that it waits."""
    gap = row.get("input_gap")
    if gap is None:
        return NOTHING
    return f"{_signed_percent(gap - 1)}{' bound' if row['input_bound'] else ''}"


def _memory(row: Row) -> int | None:
    """The most telling kind there is: of torch's allocator on a GPU, of the whole process on a CPU."""
    memory = row["memory"] or {}
    known = [memory.get(kind) for kind in ("reserved_bytes", "allocated_bytes", "nvml_bytes", "resident_bytes")]
    return next((held for held in known if held is not None), None)


def _target(rows: Sequence[Row]) -> str:
    return next((f"{row['target']:g}" for row in rows if row["target"] is not None), "target")


def _statuses(row: Row) -> str:
    return ", ".join(f"{n} {status}" for status, n in row["status_counts"].items())


def _times(ratio: float | None) -> str:
    return NOTHING if ratio is None else f"{ratio:.2f}x"


def _signed_percent(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:+.0f} %".replace("-0 %", "+0 %")


def _thousand(value: float | None) -> float | None:
    return None if value is None else 1e3 * value
