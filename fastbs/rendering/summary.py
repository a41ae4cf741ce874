"""A sweep's summary as a table with its claims, as Markdown, as JSON or as CSV."""

from __future__ import annotations

import csv
import io
import shlex
import textwrap
from typing import Any

from tabulate import tabulate

from fastbs.analysis.arms import MAIN
from fastbs.rendering.card import card_lines
from fastbs.rendering.deployed import deployed_lines
from fastbs.rendering.deployed_csv import deployed_columns
from fastbs.rendering.lines import WIDTH, one_line, within_width
from fastbs.rendering.next_sweep import next_sweep
from fastbs.rendering.noise import noise_line
from fastbs.rendering.numbers import NOTHING, count, fraction, percent, significant, size, with_interval
from fastbs.rendering.processor import processor
from fastbs.results.files import dump_json


def render_summary(summary: dict[str, Any], style: str) -> str:
    """`style` is table, markdown, json or csv; the text ends without a newline, JSON is summary.json's text."""
    if style == "json":
        return dump_json(summary).removesuffix("\n")
    if style == "csv":
        deployed = summary.get("deployed", [])
        rows = summary["rows"] + summary["controls"]
        return _csv([row | deployed_columns(deployed, row.get("arm", MAIN), row["batch_size"]) for row in rows])
    headers, cells = _table(summary)
    if style == "markdown":
        table = tabulate(cells, headers, tablefmt="pipe", colalign=["right"] * len(headers), disable_numparse=True)
        return "\n".join([*_headline(summary), "", table, "", *_below(summary, style, "- ")])
    table = tabulate(cells, headers, tablefmt="plain", colalign=["right"] * len(headers), disable_numparse=True)
    return "\n".join([*_headline(summary), table, *_below(summary, style, " ")])


def _headline(summary: dict[str, Any]) -> list[str]:
    """Two lines: what was trained on what, then how and where; names that people chose are cut to fit."""
    data, config, run = summary["dataset"], summary["config"], summary["config"]["run"]
    test = "no test set" if not data["test"] else f"{data['test']:,} test, untouched"
    budget = f"{run['updates']:,} updates" if run["updates"] else f"{run['epochs']:g} epochs"
    budget += f" or {run['seconds']:g} s" if run["seconds"] else ""
    budget = f"to {run['target']:g} within {budget}" if run["until_target"] else budget
    images = f": {data['train']:,} train / {data['validation']:,} validation ({test})"
    settings = (
        f"{run['optimizer']}, lr {run['lr']:g} ({config['lr_rule']})"
        f" · {run['precision']}, {run['loader']}, {run['step']} · {budget}"
        f" · {config['seeds']} seeds · {_or_nothing(run['device'])} ("
    )
    threads = f"), {_or_nothing(run['threads'])} thread{'' if run['threads'] == 1 else 's'}"
    return [
        _within("", data["name"], f"{images} · {run['model']}, norm {summary['norm']}"),
        _within(settings, processor(summary["machine"], run["device"]), threads),
    ]


def _or_nothing(value: Any) -> Any:
    return NOTHING if value is None else value


def _within(before: str, name: str, after: str) -> str:
    """One line of at most WIDTH characters, taken from the name first."""
    room = max(8, WIDTH - len(before) - len(after))
    return _cut(before + _cut(one_line(name), room) + one_line(after), WIDTH)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _table(summary: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """One row per batch size; columns that nothing was measured for are left out."""
    rows = summary["rows"]
    smallest = rows[0]["batch_size"]
    target = summary["config"]["run"]["target"]
    uneven = summary["dataset"]["imbalance"] > 1.1
    compared = any(row["time_ratio"] is not None for row in rows)
    columns: list[tuple[str, Any]] = [
        ("batch", lambda row: count(row["batch_size"])),
        ("updates", lambda row: count(row["updates"])),
        *([("lr", lambda row: f"{row['lr']:.3g}")] if len({row["lr"] for row in rows}) > 1 else []),
        ("step ms", lambda row: with_interval(row["step_ms"], row["step_ms_interval"])),
        ("images/s", lambda row: count(row["images_per_second"])),
        ("update", lambda row: percent(row["update_share"])),
        ("input", lambda row: percent(row["input_wait_share"])),
        ("train s", lambda row: significant(row["train_seconds"])),
        *([(f"vs {smallest}", lambda row: percent(row["time_ratio"]))] if compared else []),
        ("train top1", lambda row: fraction(row["train_top1_mean"])),
        ("top1 val", lambda row: fraction(row["top1_mean"], row["top1_sd"])),
    ]
    if uneven:
        columns.append(("balanced", lambda row: fraction(row["balanced_top1_mean"])))
    if target is not None:
        columns.append((f"to {target:g}", _to_target))
    columns.append(("memory", lambda row: size(row["peak_memory_bytes"])))
    if any(row["energy_joules"] is not None for row in rows):
        columns.append(("energy J", lambda row: significant(row["energy_joules"])))
    columns.append(("runs", _runs))
    return [name for name, _ in columns], [[cell(row) for _, cell in columns] for row in rows]


def _to_target(row: dict[str, Any]) -> str:
    planned = sum(row["status_counts"].values())
    reached = f"{row['targets_reached'] or 0}/{planned}"
    return reached if row["time_to_target_s"] is None else f"{significant(row['time_to_target_s'])} s {reached}"


def _runs(row: dict[str, Any]) -> str:
    return ", ".join(f"{n} {status}" for status, n in row["status_counts"].items())


def _below(summary: dict[str, Any], style: str, bullet: str) -> list[str]:
    lines = [f"{bullet}control {_control(row)}" for row in summary["controls"]]
    lines += [f"{bullet}{_fit(summary['fit'])}"]
    lines += _cuts(summary, bullet)
    if summary["noise"]:
        lines += within_width(noise_line(summary["noise"]), bullet)
    rules = summary["config"]["lr_rule"], summary["config"].get("weight_decay_rule", "constant")
    if rules != ("constant", "constant"):
        lines += [line for text in card_lines(summary["cards"]) for line in within_width(text, bullet)]
    reasons = [(str(row["batch_size"]), row["reason"]) for row in summary["rows"]]
    reasons += [(f"control {_where(row)}", row["reason"]) for row in summary["controls"]]
    for where, reason in reasons:
        if reason:
            text = f"{where}: {one_line(reason)}"
            lines += textwrap.wrap(text, WIDTH, initial_indent=bullet, subsequent_indent="   ")
    if summary["findings"]:
        lines.append("Claims of the post")
    for number, finding in enumerate(summary["findings"], 1):
        text = f'{number} "{finding["claim"]}"  {finding["verdict"].upper()}: {finding["text"]}'
        lines += textwrap.wrap(text, WIDTH, initial_indent=bullet, subsequent_indent="   ")
    for caveat in summary["caveats"]:
        lines += textwrap.wrap(f"Caveat: {caveat}", WIDTH, initial_indent=bullet, subsequent_indent="   ")
    if "deployed" in summary:
        lines += deployed_lines(summary["deployed"], style, bullet)
    command = next_sweep(summary)
    return lines if command is None else [*lines, f"{bullet}next: {shlex.join(command)}"]


def _cuts(summary: dict[str, Any], bullet: str) -> list[str]:
    """Accuracy at equal images, updates, seconds, a number for each row; and the fastest to each of several targets."""
    units = {"images": "{:,.0f} images", "updates": "{:,.0f} updates", "train_seconds": "{:.3g} s"}
    lines = []
    if summary["cuts"] and not summary["config"]["run"]["until_target"]:
        said = []
        for cut in summary["cuts"]:
            top1 = dict(zip(cut["batch_sizes"], cut["top1"], strict=True))
            tops = " ".join(fraction(top1.get(row["batch_size"])) for row in summary["rows"])
            said.append(f"{units[cut['cut']].format(cut['at'])}: {tops}")
        lines += within_width(f"top1 at the same {' · '.join(said)}", bullet)
    if len({grid["fastest"] for grid in summary["targets"]}) > 1:
        fastest = [f"{grid['target']:g} batch {grid['fastest']:,}" for grid in summary["targets"]]
        lines += within_width(f"least median time to {' · '.join(fastest)}", bullet)
    return lines


def _control(row: dict[str, Any]) -> str:
    return (
        f"{_where(row)} (lr {row['lr']:g}, {count(row['updates'])} updates): "
        f"{fraction(row['top1_mean'], row['top1_sd'])} in {significant(row['train_seconds'])} s, {_runs(row)}"
    )


def _where(row: dict[str, Any]) -> str:
    what = {
        "same-updates": "same updates",
        "root-lr": "same epochs, lr scaled by the root",
        "scaled-lr": "same epochs, lr scaled",
    }[row["arm"]]
    return f"at {row['batch_size']}, {what}"


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
