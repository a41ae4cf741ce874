"""A sweep's summary as a table with its claims, as Markdown, as JSON or as CSV."""

from __future__ import annotations

import csv
import io
import shlex
import textwrap
from typing import Any

from tabulate import tabulate

from fastbs.rendering.numbers import count, fraction, percent, significant, size, with_spread
from fastbs.results.files import dump_json

WIDTH = 120


def render_summary(summary: dict[str, Any], style: str) -> str:
    """`style` is table, markdown, json or csv; the text ends without a newline, JSON is summary.json's text."""
    if style == "json":
        return dump_json(summary).removesuffix("\n")
    if style == "csv":
        return _csv(summary["rows"] + summary["controls"])
    headers, rows = _table(summary)
    if style == "markdown":
        table = tabulate(rows, headers, tablefmt="pipe", colalign=["right"] * len(headers), disable_numparse=True)
        return "\n".join([_headline(summary), "", table, "", *_below(summary, "- ")])
    table = tabulate(rows, headers, tablefmt="plain", colalign=["right"] * len(headers), disable_numparse=True)
    return "\n".join([_headline(summary), table, *_below(summary, " ")])


def _headline(summary: dict[str, Any]) -> str:
    data, config, run = summary["dataset"], summary["config"], summary["config"]["run"]
    test = "no test set" if not data["test"] else f"{data['test']:,} test, untouched"
    budget = f"{run['updates']:,} updates" if run["updates"] else f"{run['epochs']:g} epochs"
    return (
        f"{data['name']}: {data['train']:,} train / {data['validation']:,} validation ({test}) · "
        f"{run['model']}, norm {summary['norm']} · {run['optimizer']}, lr {run['lr']:g} ({config['lr_rule']})"
        f" · {run['precision']}, {run['loader']}, {run['step']} · {budget} · {config['seeds']} seeds"
    )


def _table(summary: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """One row per batch size; columns that nothing was measured for are left out."""
    rows = summary["rows"]
    smallest = rows[0]["batch_size"]
    targets = summary["config"]["run"]["targets"]
    uneven = summary["dataset"]["imbalance"] > 1.1
    columns: list[tuple[str, Any]] = [
        ("batch", lambda row: count(row["batch_size"])),
        ("updates", lambda row: count(row["updates"])),
        *([("lr", lambda row: f"{row['lr']:g}")] if len({row["lr"] for row in rows}) > 1 else []),
        ("step ms", lambda row: with_spread(row["step_ms"], _half(row["step_ms_interval"]))),
        ("images/s", lambda row: count(row["images_per_second"])),
        ("update", lambda row: percent(row["update_share"])),
        ("input", lambda row: percent(row["input_wait_share"])),
        ("train s", lambda row: significant(row["train_seconds"])),
        (f"vs {smallest}", lambda row: percent(row["time_ratio"])),
        ("train top1", lambda row: fraction(row["train_top1_mean"])),
        ("top1 val", lambda row: fraction(row["top1_mean"], row["top1_sd"])),
    ]
    if uneven:
        columns.append(("balanced", lambda row: fraction(row["balanced_top1_mean"])))
    if targets:
        columns.append((f"to {targets[0]:g}", _to_target))
    columns.append(("memory", lambda row: size(row["peak_memory_bytes"])))
    if any(row["energy_joules"] is not None for row in rows):
        columns.append(("energy J", lambda row: significant(row["energy_joules"])))
    columns.append(("runs", lambda row: ", ".join(f"{n} {status}" for status, n in row["status_counts"].items())))
    return [name for name, _ in columns], [[cell(row) for _, cell in columns] for row in rows]


def _half(interval: list[float] | None) -> float | None:
    return None if interval is None else (interval[1] - interval[0]) / 2


def _to_target(row: dict[str, Any]) -> str:
    planned = sum(row["status_counts"].values())
    reached = f"{row['targets_reached'] or 0}/{planned}"
    return reached if row["time_to_target_s"] is None else f"{significant(row['time_to_target_s'])} s {reached}"


def _below(summary: dict[str, Any], bullet: str) -> list[str]:
    lines = [f"{bullet}control {_control(row)}" for row in summary["controls"]]
    lines += [f"{bullet}{_fit(summary['fit'])}"]
    lines += [f"{bullet}{row['batch_size']}: {row['reason']}" for row in summary["rows"] if row["reason"]]
    if summary["findings"]:
        lines.append("Claims of the post")
    for number, finding in enumerate(summary["findings"], 1):
        text = f'{number} "{finding["claim"]}"  {finding["verdict"].upper()}: {finding["text"]}'
        lines += textwrap.wrap(text, WIDTH, initial_indent=bullet, subsequent_indent="   ")
    for caveat in summary["caveats"]:
        lines += textwrap.wrap(f"Caveat: {caveat}", WIDTH, initial_indent=bullet, subsequent_indent="   ")
    return lines + [f"{bullet}next: {_next(summary)}"]


def _next(summary: dict[str, Any]) -> str:
    """A sweep that answers what this one left open: larger sizes, each with a rate of its own."""
    largest, train = summary["rows"][-1]["batch_size"], summary["dataset"]["train"]
    last = largest
    while last * 2 <= min(largest * 16, train // 8):
        last *= 2
    sizes = f"{largest}..{last}x2" if last > largest else f"{summary['rows'][0]['batch_size']}..{largest}x2"
    command = ["fastbs", "sweep", summary["config"]["run"]["data"], "--batch-sizes", sizes, "--lr-rule", "linear"]
    return shlex.join(command)


def _control(row: dict[str, Any]) -> str:
    what = {"same-updates": "same updates", "scaled-lr": "same epochs, lr scaled"}[row["arm"]]
    return (
        f"at {row['batch_size']}, {what} (lr {row['lr']:g}, {count(row['updates'])} updates): "
        f"{fraction(row['top1_mean'], row['top1_sd'])} in {significant(row['train_seconds'])} s, {row['n']} ok"
    )


def _fit(fit: dict[str, Any]) -> str:
    if fit["alpha_ms"] is None:
        return f"no fit of step time: {fit['reason']}"
    floor = f", never below {fit['host_ms']:.3g} ms (host)" if fit["host_ms"] else ""
    return (
        f"step = {fit['alpha_ms']:.3g} ms fixed + {fit['beta_ms']:.3g} ms/image{floor} "
        f"(worst residual {percent(fit['max_residual'])}); B_half {fit['b_half']:.3g}"
    )


def _csv(rows: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().removesuffix("\n")
