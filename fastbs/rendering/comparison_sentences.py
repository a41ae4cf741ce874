"""What a comparison says in sentences: the verdict in one line, its gate, its machine, and how it was decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastbs.analysis.comparison.metrics import METRICS
from fastbs.rendering.comparison_numbers import change_text, effect_text, minus
from fastbs.rendering.comparison_rows import NOT_MEASURED, Quote, Row, changed, is_better, is_worse, with_verdict

Document = dict[str, Any]
UNTESTED = "not tested: rows whose noise between processes nothing tells; calibrate, or measure 5 processes a side"
EXITS = {
    0: "the gate passed",
    1: "the gate failed",
    3: "not comparable",
    4: "cannot tell, which was to fail",
    5: "nothing matched",
}


def headline(document: Document, quote: Quote) -> tuple[str, str]:
    """The first phrase, for emphasis, and the rest: "2 of 14 slower", ", worst −6.1 % [−7.0, −5.2] at B=8; ..."."""
    rows = document["rows"]
    phrases = [*_barred(document, quote), *_changes(rows, quote), *_unchanged(document), _machine(document, quote)]
    first, rest = phrases[0]
    more = [a + b for a, b in phrases[1:]] + list(filter(None, [_processes(rows)]))
    return first, "; ".join([rest, *more])


def blind_line(document: Document) -> str:
    """What would have passed unseen, "blind: a fall of 10 points in top1 would have passed"; empty where nothing would.

    Of a gate that failed, or that did not judge, there is no more to say.
    """
    gate = document["gate"]
    if gate["exit_code"] not in (0, 4) or not gate.get("unseen"):
        return ""
    passed = " and ".join(f"{_passed(found)} in {found['metric']}{_where_blind(found)}" for found in gate["unseen"])
    return f"blind: {passed} would have passed"


def _passed(found: Row) -> str:
    """A change for the worse: "a fall of 10 points", "a rise of 16 %"."""
    word = "fall" if METRICS[found["metric"]].higher_is_better else "rise"
    return f"any {word}" if found["change"] is None else f"a {word} of {effect_text(found['change'], found['metric'])}"


def _where_blind(found: Row) -> str:
    if not found["rows"]:
        return " (it looks where nothing was measured)"
    return "" if found["rows"] == found["of"] else f" ({found['rows']:,} of {found['of']:,} rows)"


def _barred(document: Document, quote: Quote) -> list[tuple[str, str]]:
    """Why no verdict below should be believed."""
    match document["gate"]["exit_code"]:
        case 5:
            return [("Nothing matched", ": no row of BASE is in HEAD")]
        case 3:
            found = [d for d in document["differences"] if d["tier"] == "block" and not d["allowed"]]
            named = ", ".join(f"{quote(d['name'])} {difference_text(d, quote)}" for d in found[:3])
            return [("Not comparable", f": {named}{_and_more(len(found) - 3)}")]
    return []


def _changes(rows: list[Row], quote: Quote) -> list[tuple[str, str]]:
    ordered, phrases = changed(rows), []
    for group, extreme in ((is_worse, "worst"), (is_better, "best")):
        for metric in dict.fromkeys(row["metric"] for row in ordered if group(row)):
            found = [row for row in ordered if group(row) and row["metric"] == metric]
            phrases.append(_how_many(found, extreme, quote))
        if group is is_worse:
            phrases += _not_measured(rows)
    of_all = [f" of {len(rows):,}" if len(rows) > 1 else ""] + [""] * len(phrases)
    return [(f"{number}{of} {words}", tail) for (number, words, tail), of in zip(phrases, of_all, strict=False)]


def _how_many(found: list[Row], extreme: str, quote: Quote) -> tuple[str, str, str]:
    row, metric = found[0], METRICS[found[0]["metric"]]
    word = row["verdict"] if row["verdict"] in ("slower", "faster") else f"with {row['verdict']} {metric.label}"
    where = f"in {quote(row['name'])}" if row["batch_size"] is None else f"at B={row['batch_size']}"
    leading = f"{extreme} " if len(found) > 1 else ""
    return f"{len(found):,}", word, f", {leading}{change_text(row, row['metric'])} {where}"


def _not_measured(rows: list[Row]) -> list[tuple[str, str, str]]:
    words = {"missing": "missing in HEAD", "new": "new in HEAD", "not ok": "not ok on either side"}
    found = [(f"{len(with_verdict(rows, verdict)):,}", words.get(verdict, verdict)) for verdict in NOT_MEASURED]
    return [(number, word, "") for number, word in found if number != "0"]


def _unchanged(document: Document) -> list[tuple[str, str]]:
    rows = document["rows"]
    same, unclear = with_verdict(rows, "same"), with_verdict(rows, "cannot tell")
    phrases = []
    if rows and len(same) == len(rows):
        phrases.append((f"All {len(rows):,} the same" if len(rows) > 1 else "The same", f", {_within(document)}"))
    elif len(same) + len(unclear) == len(rows) and same:
        phrases.append((f"{len(same):,} of {len(rows):,} the same", f", {_within(document)}"))
    if unclear:
        few = len(unclear) < len(rows) or len(rows) == 1
        phrases.append((f"{len(unclear):,} cannot tell" if few else f"All {len(rows):,} cannot tell", ""))
    return phrases


def _within(document: Document) -> str:
    return f"within {_percent(document['settings']['margin'])}"


def _margins(document: Document) -> str:
    settings, scales = document["settings"], {METRICS[row["metric"]].scale for row in document["rows"]}
    points = f" (top1: {100 * settings['points_margin']:g} points)" if "points" in scales else ""
    return f"{_percent(settings['margin'])}{points} either way"


def _machine(document: Document, quote: Quote) -> tuple[str, str]:
    found = [d for d in document["differences"] if d["tier"] != "note"]
    if found:
        return f"{_named(found, quote)} differ{'s' if len(found) == 1 else ''}", ""
    return "same machine" if not document["differences"] else "same machine as far as it was recorded", ""


def _named(differences: Sequence[Row], quote: Quote) -> str:
    return ", ".join(quote(d["name"]) for d in differences[:4]) + _and_more(len(differences) - 4)


def _processes(rows: list[Row]) -> str:
    """Of the rows that have a number on both sides: "5 processes", "3 to 5 processes", "12 pairs"."""
    both = [row for row in rows if row["verdict"] not in NOT_MEASURED]
    counts = sorted({row[side]["processes"] for row in both for side in ("base", "head")})
    if not counts:
        return ""
    word = "pair" if both[0]["spread_from"] == "pairs" else "process"
    several = f"{word}s" if word == "pair" else f"{word}es"
    number = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{number} {word if counts == [1] else several}"


def difference_text(difference: Row, quote: Quote) -> str:
    base, head = (
        "not known" if side is None else quote(str(side)) for side in (difference["base"], difference["head"])
    )
    return f"{base} → {head}"


def environment_title(document: Document, quote: Quote) -> str:
    """Those that bar the comparison come first."""
    found = ranked_differences(document)
    count = f"{len(found)} difference{'' if len(found) == 1 else 's'}"
    return f"Environment: {count}: {_named(found, quote)}"


def ranked_differences(document: Document) -> list[Row]:
    tiers = ["block", "flag", "note"]
    return sorted(document["differences"], key=lambda d: (d["allowed"], tiers.index(d["tier"])))


def tier_text(difference: Row) -> str:
    if difference["allowed"]:
        return "allowed"
    return {
        "block": "not comparable",
        "flag": "could explain small changes",
        "note": "known on one side only",
    }[difference["tier"]]


def gate_line(document: Document) -> str:
    gate = document["gate"]
    fired, blind = len(gate["fired"]), len(gate["blind"])
    unseen = f"; it was blind in {blind:,} row{'' if blind == 1 else 's'}" if blind else ""
    if fired:
        return f"Gate failed: {fired:,} rule{'' if fired == 1 else 's'} fired{unseen}"
    match gate["exit_code"]:
        case 3:
            return "Not judged: measure both sides alike, or allow the difference by name with --allow"
        case 5:
            return "Not judged: the two sides measured different things"
        case 4:
            return f"Gate: cannot tell, which was to fail{unseen}"
    return f"Gate: nothing fired{unseen}" if gate.get("unseen") else f"Gate passed{unseen}"


def gate_item(item: Row, quote: Quote, prose: Quote) -> str:
    """`fired` and `blind` have the same shape: the rule, where, and why."""
    row = "" if item["row"] is None else f", {quote(item['row'])}"
    size = "" if item["batch_size"] is None else f" at B={item['batch_size']}"
    return f"{prose(item['rule'])}{row}{size}: {prose(minus(item['why']))}"


def how_decided(document: Document, quote: Quote) -> list[str]:
    """Level, spread and sides, a sentence each."""
    settings, rows = document["settings"], document["rows"]
    tested, curves = (sum(row.get("p") is not None for row in found) for found in (rows, document["curves"]))
    level = _percent(1 - settings["alpha"])
    also = f" and {curves:,} curve{'' if curves == 1 else 's'}" if curves else ""
    together = f" for all {tested:,} tested rows{also} together (Holm)" if tested + curves > 1 else ""
    spreads = {row["spread_from"] for row in rows} | {None}
    said = {
        "processes": "spread between processes",
        "pairs": "paired processes",
        "seeds": "seeds in pairs",
        "sessions": "sessions, not processes",
        "ranks": "ranks (misses last)",
        "calibration": f"calibrated noise ({quote(str(settings['calibration']))})",
    }
    sources = [text for name, text in said.items() if name in spreads]
    sentences = [f"Intervals: {level}{together}, from {' and '.join(sources)}"] if sources else []
    if "assumed" in spreads:
        sentences.append(UNTESTED)
    sentences += _sessions(document)
    if refuted := settings.get("calibration_refuted"):
        sentences.append(quote(refuted))
    sentences.append(f"same: its own {level} interval lies within {_margins(document)}")
    sentences.append(" → ".join(_side(name, document[name.lower()], quote) for name in ("BASE", "HEAD")))
    code = document["gate"]["exit_code"]
    ended = "nothing fired" if code == 0 and document["gate"].get("unseen") else EXITS[code]
    return [*sentences, f"exit code {code}: {ended}"]


def _sessions(document: Document) -> list[str]:
    """What the luck of a session may be, where one side has one only and nothing that was measured tells it."""
    found = document.get("sessions")
    if found is None or document["settings"]["calibration"] and found["calibrated"]:
        return []
    if found["base"] == found["head"] == found["shared"] == 1:
        return ["both sides are of one session; another may differ by more (fastbs calibrate --sessions)"]
    if min(found["base"], found["head"]) > 1:
        return []
    noise = _percent(document["settings"]["noise"])
    return [f"times: {noise} between two sessions assumed (--noise); fastbs calibrate --sessions measures it"]


def _side(name: str, side: Row, quote: Quote) -> str:
    files = quote(side["files"][0]) + _and_more(len(side["files"]) - 1) if side["files"] else ""
    commit = f" at {quote(side['commit'][:12])}{' (dirty)' if side['dirty'] else ''}" if side["commit"] else ""
    return f"{name} {files}{commit}"


def _and_more(number: int) -> str:
    return f" and {number:,} more" if number > 0 else ""


def _percent(value: float) -> str:
    return f"{100 * value:g} %"
