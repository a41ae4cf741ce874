"""A comparison in a terminal, as CSV and as JSON."""

import csv
import io
import json
import unicodedata

import pytest

from fastbs.rendering.comparison import render_comparison
from fastbs.rendering.comparison_numbers import change_text, effect_text, value_text
from fastbs.rendering.sparkline import BLOCKS, sparkline


def side(value=100.0, processes=5, status="ok", reason=None):
    return {"status": status, "reason": reason, "value": value, "processes": processes}


def row(verdict="same", change=0.001, name="throughput small fp32", batch_size=8, notes=(), **more):
    return {
        "key": {"question": "throughput", "batch_size": batch_size},
        "name": name,
        "batch_size": batch_size,
        "metric": "images_per_second",
        "base": side(),
        "head": side(100 * (1 + change)),
        "change": change,
        "interval": [change - 0.009, change + 0.009],
        "level": 0.05,
        "p": 0.01,
        "smallest_visible": 0.16,
        "spread_from": "processes",
        "verdict": verdict,
        "worse": None,
        "notes": list(notes),
        "clock_mhz": None,
    } | more


def document(rows, **more):
    return {
        "schema": 1,
        "kind": "comparison",
        "base": {"files": ["a.json"], "commit": None, "dirty": None},
        "head": {"files": ["b.json", "c.json"], "commit": None, "dirty": None},
        "settings": {
            "margin": 0.03,
            "points_margin": 0.005,
            "alpha": 0.05,
            "noise": 0.05,
            "calibration": None,
            "allow": [],
            "metrics": None,
        },
        "differences": [],
        "rows": rows,
        "curves": [],
        "counts": {},
        "gate": {"rules": {}, "fired": [], "blind": [], "unseen": [], "exit_code": 0},
        "sessions": None,
    } | more


def curve(**more):
    return {
        "key": {"question": "throughput"},
        "name": "throughput small fp32",
        "metric": "images_per_second",
        "batch_sizes": [1, 8, 64],
        "base": [100.0, 400.0, 800.0],
        "head": [100.0, 300.0, 800.0],
        "change": -0.08,
        "interval": [-0.1, -0.06],
        "verdict": "slower",
        "smallest_visible": 0.02,
        "worst": {"batch_size": 8, "change": -0.25, "interval": [-0.3, -0.2]},
        "knee": [9.5, 9.5],
        "within_5_percent": None,
        "largest_ok": [128, 64],
        "smallest_oom": [None, 128],
    } | more


def columns(text):
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def test_a_terminal_sees_every_row_what_needs_attention_first():
    rows = [row(), row("cannot tell", batch_size=16), row("faster", 0.2), row("slower", -0.1, batch_size=128)]
    lines = render_comparison(document(rows), "table").splitlines()
    assert lines[0].startswith("1 of 4 slower, −10.0 % [−10.9, −9.1] at B=128; 1 faster, +20.0 % ")
    assert lines[2:7] == [
        "what                   batch  change                  verdict                 base → head          processes",
        "throughput small fp32    128  −10.0 % [−10.9, −9.1]   slower                  100 → 90.0 images/s        5+5",
        "throughput small fp32      8  +20.0 % [+19.1, +20.9]  faster                  100 → 120 images/s         5+5",
        "throughput small fp32     16  +0.1 % [−0.8, +1.0]     cannot tell below 16 %  100 → 100 images/s         5+5",
        "throughput small fp32      8  +0.1 % [−0.8, +1.0]     same                    100 → 100 images/s         5+5",
    ]


@pytest.mark.parametrize(
    "name", ["x" * 500, "日本語" * 100, "e\u0301" * 300, "a\tb\x1b[31m\u202e" * 50, "one\r\ntwo " * 60]
)
def test_no_line_is_wider_than_a_terminal_and_none_steers_it(name):
    found = document([row("slower", -0.1, name=name, notes=[name]), row(name=f"{name}2")], curves=[curve(name=name)])
    found["gate"] |= {"fired": [{"rule": name, "row": name, "batch_size": 8, "why": name}], "exit_code": 1}
    found["differences"] = [{"tier": "flag", "name": name, "base": name, "head": None, "allowed": False}]
    text = render_comparison(found, "table")
    assert all(letter.isprintable() for line in text.splitlines() for letter in line)
    first = next(k for k, line in enumerate(text.splitlines()) if line.startswith("what "))
    assert max(map(columns, text.splitlines()[first : first + 3])) <= 120
    assert max(map(len, text.splitlines())) <= 120


def test_long_names_keep_their_end():
    rows = [row(name=f"tests/{'long_' * 60}::test[{k}]", batch_size=None) for k in range(2)]
    assert [line.split()[0][-8:] for line in render_comparison(document(rows), "table").splitlines()[2:4]] == [
        "test[0]"[-8:].rjust(8, ":"),
        "test[1]"[-8:].rjust(8, ":"),
    ]


def test_a_curve_is_one_sentence_with_what_moved():
    text = " ".join(render_comparison(document([row()], curves=[curve()]), "table").split())
    assert (
        "throughput small fp32, images/s at B=1 to 64: slower, −8.0 % [−10.0, −6.0]; "
        "worst −25.0 % [−30.0, −20.0] at B=8; largest that runs 128 → 64; out of memory from none → 128; ▁▄█ → ▁▃█"
    ) in text
    assert "knee" not in text
    unclear = curve(verdict="cannot tell", change=None, interval=None, worst=None)
    text = " ".join(render_comparison(document([row()], curves=[unclear]), "table").split())
    assert "images/s at B=1 to 64: cannot tell (from 2.0 % on it could have been seen);" in text


def test_csv_is_a_line_for_each_row_with_all_digits():
    rows = [
        row("slower", -0.123456789, name="a,b\n|c", notes=["x", "y"]),
        row(),
        row("missing") | {"change": None, "interval": None},
    ]
    text = render_comparison(document(rows), "csv")
    assert len(text.splitlines()) == 4
    found = list(csv.DictReader(io.StringIO(text)))
    assert found[0]["name"] == "a,b |c" and float(found[0]["change"]) == -0.123456789 and found[0]["notes"] == "x; y"
    assert float(found[0]["low"]) == rows[0]["interval"][0] and float(found[0]["level"]) == 0.05
    assert found[0]["base_value"] == "100.0" and found[0]["verdict"] == "slower" and found[0]["batch_size"] == "8"
    assert found[2]["change"] == found[2]["low"] == ""


def test_json_is_the_document():
    found = document([row()], curves=[curve()])
    text = render_comparison(found, "json")
    assert json.loads(text) == found and not text.endswith("\n")


@pytest.mark.parametrize(
    ("change", "interval", "text"),
    [
        (-0.061, [-0.07, -0.052], "−6.1 % [−7.0, −5.2]"),
        (-0.061, [-0.3, 0.18], "−6 % [−30, +18]"),
        (0.0012, [0.0010, 0.0014], "+0.12 % [+0.10, +0.14]"),
        (0.0, [0.0, 0.0], "+0.0 % [+0.0, +0.0]"),
        (12.5, [12.3, 12.7], "+1,250 % [+1,230, +1,270]"),
        (-0.061, None, "−6.1 %"),
        (None, None, "-"),
    ],
)
def test_a_change_has_the_digits_that_its_interval_carries(change, interval, text):
    assert change_text({"change": change, "interval": interval}, "images_per_second") == text


def test_accuracy_changes_in_points():
    assert change_text({"change": -0.009, "interval": [-0.014, -0.004]}, "top1") == "−0.9 points [−1.4, −0.4]"
    assert effect_text(0.0123, "top1") == "1.2 points" and effect_text(-0.2, "seconds") == "20 %"


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (321.4, "images_per_second", "321 images/s"),
        (1.5, "seconds", "1.50 s"),
        (0.0123, "seconds", "12.3 ms"),
        (4.2e-5, "seconds", "42.0 us"),
        (4.2e-8, "seconds", "42.0 ns"),
        (3.4, "time_to_target_s", "3.40 s to target"),
        (0.948, "top1", ".948 top1"),
        (2 << 30, "memory_bytes", "2.0 GiB"),
        (420.0, "update_us", "420 us"),
        (None, "seconds", "-"),
    ],
)
def test_a_value_has_its_unit(value, metric, text):
    assert value_text(value, metric) == text


def test_a_sparkline_rises_with_its_values_from_nothing_to_the_top():
    assert sparkline([k / 8 for k in range(1, 9)], 1.0) == BLOCKS
    assert sparkline([0.0, 100.0, None], 100.0) == "▁█·"
    assert sparkline([0.0, 0.0], 0.0) == "▁▁"
