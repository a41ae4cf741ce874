"""What was exported from a sweep, as one table: training batch size x inference batch size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tabulate import tabulate

from fastbs.rendering.lines import WIDTH, one_line, within_width
from fastbs.rendering.numbers import NOTHING, count, fraction, significant

Row = Mapping[str, Any]
Line = tuple[Row, Mapping[int, Row]]  # a row, and its latencies in one way, by inference batch size
Column = tuple[str, Callable[[Line], str]]

FEW = 3  # inference batch sizes in the table at most
ON = 16  # letters of a machine's name
WHERE = {"same-updates": ", same updates", "root-lr": ", lr scaled by the root", "scaled-lr": ", lr scaled"}
LEGEND = (
    "checked: artefacts that passed, of those exported",
    "top1: trained/exported",
    "error: largest difference of a logit, over the spread of the trained net's logits",
)


def deployed_lines(rows: Sequence[Row], style: str, bullet: str) -> list[str]:
    """The table of `analysis.deployed_rows` with what it cannot hold below it; `style` is table or markdown.

    Of many inference batch sizes it has three: the smallest, the one with most images/s, the largest; fewer where they
    do not fit into a line of a terminal.
    """
    lines = [line for row in rows for line in _ways(row)]
    sizes = _by_interest(lines)
    while True:
        shown = sorted(sizes)
        text = _table(lines, shown, "pipe" if style == "markdown" else "plain")
        if not sizes or style == "markdown" or max(map(len, text.splitlines())) <= WIDTH:
            break
        sizes.pop()
    table = ["", *text.splitlines(), ""] if style == "markdown" else text.splitlines()
    notes = [*_notes(rows), *_legend(rows, lines, shown)]
    head = ["", "Deployed"] if style == "markdown" else ["Deployed"]
    return [*head, *table, *(line for note in notes for line in within_width(note, bullet))]


def kind(row: Row) -> str:
    """What was exported, and how it is run: "tensorrt fp16"."""
    return _cell(f"{row['to']} {row['precision']}")


def _ways(row: Row) -> Iterator[Line]:
    """One line for each machine and use of CUDA graphs that the artefacts were measured with; one without any."""
    ways: dict[tuple[str | None, bool], dict[int, Row]] = {}
    for cell in row["latency"]:
        if cell["p99_ms"] is not None:
            ways.setdefault((cell["machine"], cell["cuda_graph"]), {})[cell["batch_size"]] = cell
    for cells in ways.values() or [{}]:
        yield row, cells


def _by_interest(lines: Sequence[Line]) -> list[int]:
    """Inference batch sizes, first the one that matters most."""
    cells = [cell for _, cells in lines for cell in cells.values()]
    if not cells:
        return []
    sizes = sorted({cell["batch_size"] for cell in cells})
    fastest = max(cells, key=lambda cell: cell["images_per_second"])["batch_size"]
    return list(dict.fromkeys([sizes[0], fastest, sizes[-1], *(sizes if len(sizes) <= FEW else [])]))


def _table(lines: Sequence[Line], sizes: Sequence[int], layout: str) -> str:
    columns: list[Column] = [
        ("batch", lambda line: count(line[0]["batch_size"]) + WHERE.get(line[0]["arm"], "")),
        ("net", lambda line: kind(line[0]) + (", graph" if _first(line, "cuda_graph") else "")),
        *([("on", lambda line: _cell(_first(line, "machine") or NOTHING)[:ON])] if len(_machines(lines)) > 1 else []),
        ("checked", _checked),
        ("top1", _top1),
        ("agree", _agreement),
        ("flips", lambda line: count(line[0]["flips"])),
        ("error", lambda line: NOTHING if line[0]["error"] is None else f"{line[0]['error']:.2g}"),
        *((f"at {size:,}", _at(size)) for size in sizes),
    ]
    names = [name for name, _ in columns]
    align = ["left" if name in ("net", "on") else "right" for name in names]
    cells = [[cell(line) for _, cell in columns] for line in lines]
    return tabulate(cells, names, tablefmt=layout, colalign=align, disable_numparse=True)


def _first(line: Line, key: str) -> Any:
    return next((cell[key] for cell in line[1].values()), None)


def _machines(lines: Sequence[Line]) -> list[str]:
    """Those that latencies were measured on."""
    return list(dict.fromkeys(_first(line, "machine") or NOTHING for line in lines if line[1]))


def _checked(line: Line) -> str:
    row, checks = line[0], line[0]["checks"]
    made, graph = checks["ok"] + checks["failed"], "graph " if row["engines"]["built, not run"] else ""
    return f"{checks['ok']}/{row['exported']} {graph}ok" if made else f"0/{row['exported']}"


def _top1(line: Line) -> str:
    row = line[0]
    return NOTHING if row["top1"] is None else f"{fraction(row['top1_trained'])}/{fraction(row['top1'])}"


def _agreement(line: Line) -> str:
    """Rounded down: "100 %" is all of them."""
    agreement = line[0]["agreement"]
    if agreement is None:
        return NOTHING
    return "100 %" if agreement == 1 else f"{math.floor(1000 * agreement) / 10:.1f} %"


def _at(size: int) -> Callable[[Line], str]:
    def latency(line: Line) -> str:
        cell = line[1].get(size)
        if cell is None:
            return NOTHING
        return f"{_ms(cell['p50_ms'])}/{_ms(cell['p99_ms'])} {significant(cell['images_per_second'])}"

    return latency


def _ms(value: float) -> str:
    """0.523 -> ".523"."""
    return significant(value).removeprefix("0")


def _notes(rows: Sequence[Row]) -> list[str]:
    """What went wrong or is missing, once for all training batch sizes that it is true of."""
    found: dict[str, list[str]] = {}
    for row in rows:
        where = count(row["batch_size"]) + WHERE.get(row["arm"], "")
        for problem in _problems(row):
            found.setdefault(f"{kind(row)}: {problem}", []).append(where)
    said = [f"{problem} (batch {', '.join(sizes)})" for problem, sizes in found.items()]
    return said + [failure for row in rows for failure in row["failures"]]


def _problems(row: Row) -> Iterator[str]:
    checks, unrun = row["checks"], row["engines"]["built, not run"]
    if unrun:
        many = "" if unrun == row["exported"] else f"{unrun} of {row['exported']} "
        yield f"{many}engine built, not run; what was checked is the graph it was built from"
    if checks["failed"]:
        yield f"{checks['failed']} of {row['exported']} failed the check"
    if row["other_images"]:
        yield f"{row['other_images']} of {row['exported']} checked on other images than those of their runs"
    if checks["not made"]:
        yield f"{checks['not made']} of {row['exported']} not checked"
    if checks["stale"]:
        yield f"{checks['stale']} of {row['exported']} changed or trained anew since the check"
    if row["latencies"]["stale"]:
        yield f"{row['latencies']['stale']} of {row['exported']} changed or trained anew since the latency was measured"
    reasons: dict[str, list[str]] = {}
    for cell in row["latency"]:
        for status, n in cell["status_counts"].items():
            if status != "ok":
                reason = f"{n} {status}" + (f": {cell['reason']}" if cell["reason"] else "")
                reasons.setdefault(reason, []).append(count(cell["batch_size"]))
    for reason, sizes in reasons.items():
        yield f"latency at {', '.join(sizes)}: {reason}"


def _legend(rows: Sequence[Row], lines: Sequence[Line], shown: Sequence[int]) -> list[str]:
    checked: dict[str, dict[str, None]] = {}
    for row in rows:
        for evaluator in row["evaluators"]:
            name = f"{evaluator['name']} ({count(evaluator['images'])} images)"
            checked.setdefault(name, {})[kind(row)] = None
    said = [f"checked by {evaluator}: {', '.join(kinds)}" for evaluator, kinds in checked.items()]
    said += ["; ".join(LEGEND)]
    measured = sorted({size for _, cells in lines for size in cells})
    if measured:
        on = f", on {_machines(lines)[0]}" if len(_machines(lines)) == 1 else ""
        rest = [f"{size:,}" for size in measured if size not in shown]
        more = f"; also measured at {', '.join(rest)}: see --format json" if rest else ""
        at = "at N: p50/p99 ms of an inference batch of N, and images/s; medians over artefacts"
        said.append(f"{at}{on}{more}")
    return said


def _cell(text: str) -> str:
    """Without what would break a table."""
    return one_line(text).replace("|", "/")
