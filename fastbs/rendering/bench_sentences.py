"""What stands below a bench table: the curve in words, and why rows are missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastbs.rendering.numbers import count, percent, significant, with_interval


def curve_sentences(curve: Mapping[str, Any], on_gpu: bool) -> list[str]:
    """The fit with its form, the batch sizes that matter, the parts of the fixed time, the update's trend.

    A floor is the host's only where a device could have been the faster one: `on_gpu`.
    """
    sentences = [_fit(curve, on_gpu), " · ".join(_sizes(curve))]
    if curve["fixed"] and _is_known(curve["fit"]):
        sentences.append(_fixed(curve["fixed"]))
    if curve["update_trend"]:
        sentences.append(_trend(curve["update_trend"]))
    return [sentence for sentence in sentences if sentence]


def share_sentence(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the columns of shares are; nothing where there are none."""
    if not any(row.get("curve") for row in rows):
        return []
    return ['"at B": share of a training step of batch B, synthetic input, with this update in place of its own']


def routine_sentence(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where no kernel of ours ran under our name, that."""
    if not any(row.get("routine") == "torch" for row in rows):
        return []
    return ['"ours": torch\'s fused operator through our optimizer; our kernel needs a GPU with Triton']


def statistics_sentence(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What it costs our update to sum squares on the way."""
    ratio, interval = next(
        ((row["time_to_ours"], row["time_to_ours_interval"]) for row in rows if row.get("time_to_ours")), (None, None)
    )
    if ratio is None:
        return []
    spread = f" [{100 * (interval[0] - 1):+.1f}, {100 * (interval[1] - 1):+.1f}]" if interval else ""
    return [f"statistics on the way: {100 * (ratio - 1):+.1f} %{spread} of ours"]


def phase_sentences(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the smallest and the largest step with measured phases are made of, and what that leaves unexplained."""
    known = [row for row in rows if row["phases"]]
    return [_phases(row) for row in (known if len(known) < 2 else (known[0], known[-1]))]


def _phases(row: Mapping[str, Any]) -> str:
    parts = [
        f"{name.removesuffix('_ms')} {significant(value)}"
        for name, value in row["phases"].items()
        if value is not None and name != "unexplained_ms"
    ]
    left, step = row["phases"]["unexplained_ms"], row["step_ms"]
    return (
        f"phases at {row['batch_size']:,}: {' + '.join(parts)} ms, of {significant(step)} that the step takes alone; "
        f"unexplained {significant(left)} ({percent(left / step)})"
    )


def reason_sentence(row: Mapping[str, Any]) -> str:
    """Why a row is not ok."""
    which = row["implementation"] if row["question"] == "update" else f"{row['batch_size']:,}"
    which = f"{row['loader']} at {which}" if row["question"] == "data" else which
    return f"{which}: {row['status']}: {row['reason']}"


def largest_sentence(found: Mapping[str, Any]) -> str:
    """The largest batch that runs, of one model, precision and step."""
    named = ", ".join(str(found[name]) for name in ("model", "precision", "step"))
    last = found["tried"][-1]
    ended = f"{last['batch_size']:,} {last['status']}: {last['reason']}" if last["status"] == found["bound"] else ""
    return f"largest batch that runs, {named}: {count(found['batch_size'])} (bound: {ended or found['bound']})"


def _fit(curve: Mapping[str, Any], on_gpu: bool) -> str:
    fit, what = curve["fit"], {"inference": "pass", "data": "batch"}.get(curve["question"], "step")
    if fit["form"] is None:
        return f"no fit of {what} time: {fit['reason']}"
    form = "a line"
    if fit["form"] == "floor":
        cause = ": the host" if on_gpu and _is_the_host(curve) else ""
        form = f"a line with a floor of {significant(fit['host_ms'])} ms{cause}"
    return (
        f"{what} = {with_interval(fit['alpha_ms'], fit['alpha_ms_interval'])} ms fixed"
        f" + {with_interval(fit['beta_ms'], fit['beta_ms_interval'])} ms/image, {form}"
        f" (worst residual {percent(fit['max_residual'])}{_doubt(fit['max_residual'])})"
    )


def _is_known(fit: Mapping[str, Any]) -> bool:
    """Whether the fixed time is known well enough to be divided: its interval spans less than a factor of four."""
    interval = fit["alpha_ms_interval"]
    return interval is None or fit["form"] == "floor" or interval[1] < 4 * interval[0]


def _is_the_host(curve: Mapping[str, Any]) -> bool:
    """Whether enqueueing a step, measured by itself, takes most of the floor; an idle part of a card is flat too."""
    fixed = curve["fixed"]
    return bool(fixed and fixed["host_is"] == "enqueue" and fixed["host_ms"] >= 0.8 * curve["fit"]["host_ms"])


def _doubt(residual: float) -> str:
    """Above 5 % look for cliffs of tiles or algorithms; far above, the parts of the line mean nothing."""
    if residual <= 0.05:
        return ""
    return ": a rough guide" if residual <= 0.25 else ": this is no line"


def _sizes(curve: Mapping[str, Any]) -> Iterator[str]:
    fit = curve["fit"]
    if fit["b_half"] is not None:
        yield f"B_half {with_interval(fit['b_half'], fit['b_half_interval'])}"
    if fit["form"] == "floor":
        yield f"knee at {significant(curve['knee'])}"
    best, least = curve["best"], curve["within_5_percent"]
    if best is not None and len(curve["batch_sizes"]) > 1:
        smaller = f"{least:,} is the smallest" if least < best else "no smaller one is"
        yield f"most images/s at {best:,}, {smaller} within 5 % of it"


def _fixed(fixed: Mapping[str, Any]) -> str:
    enqueued = fixed["host_is"] == "enqueue"
    least, beside = ("", " (host and card side by side: the slower one counts)") if enqueued else ("at least ", "")
    host = f", host {least}{significant(fixed['host_ms'])} ({fixed['host_is']})" if fixed["host_ms"] is not None else ""
    return (
        f"fixed {significant(fixed['total_ms'])} ms: update {significant(fixed['update_ms'])}{host}, "
        f"rest {significant(fixed['rest_ms'])}{beside}"
    )


def _trend(trend: Mapping[str, Any]) -> str:
    change, interval = f"{trend['percent_per_doubling']:+.1f} %", trend["interval"]
    if interval is None:
        return f"update's time: {change} per doubling of batch size (one process: no interval)"
    low, high = interval
    verdict = "no dependence on batch size seen" if low <= 0 <= high else "it depends on batch size"
    return f"update's time: {change} [{low:+.1f}, {high:+.1f}] per doubling of batch size: {verdict}"
