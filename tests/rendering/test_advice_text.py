import csv
import io
import json
import shlex

import pytest

from fastbs.rendering.advice import render_advice
from fastbs.rendering.advice_columns import duration, signed_percent

CARD = {"batch_size": 32, "micro_batch": 32, "accumulation": 1, "rule": "linear", "optimizer": "sgd", "lr": 0.04}
CARD |= {"schedule": "constant", "warmup_images": 0, "momentum": 0.9, "beta2": None, "eps": None, "weight_decay": 0.0}
CARD |= {"norm_momentum": None, "warnings": []}


def row(size, **more):
    empty = dict.fromkeys(
        ("images_per_second", "epochs_to_target", "seconds", "seconds_interval", "seconds_coverage", "curve_seconds")
    )
    success = {"reached": 5, "runs": 5, "interval": [0.5, 1.0]}
    values = {
        "batch_size": size,
        "recommended": size == 32,
        "status": "ok",
        "status_counts": {"ok": 5},
        "refused": None,
    }
    return (
        empty
        | values
        | {"vs_best": None, "memory_bytes": None, "energy_joules": None, "success": success}
        | {"keeps_limits": True}
        | more
    )


def document(**more):
    return {
        "kind": "advice",
        "recommended": 32,
        "range": [20, 60],
        "range_level": 0.8,
        "seconds": 12.0,
        "seconds_interval": [10.0, 15.0],
        "card": CARD,
        "command": "fastbs train 'my photos' --batch-size 32 --lr 0.04 " + "--model timm:" + "x" * 120,
        "why": {"hardware": "step = 10 ms", "data": "B_crit 300", "together": "so"},
        "binding": None,
        "optimum": {"sure": 0.97},
        "energy": None,
        "counterfactuals": [row(8, seconds=20.0), row(32, seconds=12.0, seconds_interval=[10.0, None])],
        "unknown": [{"what": "seed spread: one seed a size", "settle": "fastbs sweep 'my photos' --seeds 3"}],
        "warnings": ["a warning"],
        "limits": {},
        "images": {"asked": None, "trained": 1000},
        "give": [],
        "refused": None,
        "verify": "fastbs sweep 'my photos' --from-advice advice.json",
        "target": 0.8,
        "steps_from": "sweep",
    } | more


@pytest.mark.parametrize("style", ["table", "markdown"])
def test_commands_stand_whole_on_lines_of_their_own_and_once(style):
    lines = [line.strip() for line in render_advice(document(), style).splitlines()]
    for command in (document()["command"], "fastbs sweep 'my photos' --seeds 3", document()["verify"]):
        assert sum(line.endswith(command) for line in lines) == 1 and shlex.split(command)[2] == "my photos"


@pytest.mark.parametrize("style", ["table", "markdown"])
def test_the_size_is_in_the_first_line_and_prose_fits_the_width(style):
    text = render_advice(document(warnings=["word " * 60]), style)
    assert (
        "USE BATCH SIZE 32" in text.splitlines()[0]
        and "97 % certain; each of 20-60: 80 % or more" in text.splitlines()[0]
    )
    assert all(len(line) <= 120 for line in text.splitlines() if "fastbs " not in line)


def test_a_range_that_a_miss_leaves_open_ends_with_never():
    assert "12.0 s [10.0 s, never]" in render_advice(document(), "table")


def test_a_bracket_that_is_no_95_percent_interval_carries_its_level():
    rows = [row(32, seconds=12.0, seconds_interval=[10.0, 14.0], seconds_coverage=level) for level in (0.75, 0.96875)]
    text = render_advice(document(counterfactuals=rows), "table")
    assert "[10.0 s, 14.0 s] (75 %)" in text and text.count("(75 %)") == 1 and "(97 %)" not in text


def test_certainty_is_never_a_hundred():
    assert "99 % certain" in render_advice(document(optimum={"sure": 1.0}), "table").splitlines()[0]


def test_columns_that_nothing_is_known_for_are_left_out():
    text = render_advice(document(), "table")
    assert "images/s" not in text and "energy" not in text and "memory" not in text and "reached" in text
    full = render_advice(document(counterfactuals=[row(32, memory_bytes=2**30, energy_joules=5.0)]), "table")
    assert "1.0 GiB" in full and "energy J" in full


def test_every_size_keeps_its_row_with_the_reason_against_it():
    rows = [row(8, refused="3 of 5 runs missed the target"), row(16, keeps_limits=False), row(32)]
    rows += [
        row(64, status="oom", refused="out of memory"),
        row(128, status="missed", status_counts={"ok": 4, "missed": 1}),
    ]
    lines = render_advice(document(counterfactuals=rows), "table").splitlines()
    said = {line.split()[0]: line.partition("5/5")[2].strip() for line in lines if "5/5" in line}
    assert said == {
        "8": "3 of 5 runs missed the target",
        "16": "beyond a limit",
        "32": "<- recommended",
        "64": "out of memory",
        "128": "4 ok, 1 missed",
    }


def test_limits_are_printed_with_their_units_and_the_one_that_binds():
    limits = {
        "deadline": {"limit": 600.0, "value": 12.0, "holds": True},
        "max_memory": {"limit": 2.0**30, "value": 2.0**29, "holds": True},
        "max_energy": {"limit": 5000.0, "value": 120.0, "holds": True},
    }
    text = " ".join(render_advice(document(limits=limits, binding="max_memory"), "table").split())
    assert "binding limit: max memory (deadline 10 min: 12.0 s, holds; max memory 1.0 GiB: 512 MiB, holds;" in text
    assert "max energy 5.00 kJ: 120 J, holds" in text and "the fastest that keeps the limits" in text


def test_limits_that_cannot_be_met_say_what_would_have_to_give():
    give = [{"limit": "deadline", "asked": 5.0, "needed": 12.0, "batch_size": 32}]
    text = render_advice(document(recommended=None, command=None, give=give), "table")
    assert text.startswith("NO BATCH SIZE keeps all limits")
    assert "deadline would have to be 12.0 s instead of 5.00 s, with batch 32" in text and "USE" not in text


def test_a_refusal_ends_with_the_next_command():
    refused = {"reason": "one constant rate", "next": "fastbs sweep x --lr-rule linear"}
    text = render_advice(document(recommended=None, command=None, refused=refused, unknown=[], verify=None), "table")
    assert text.splitlines()[-1] == " next: fastbs sweep x --lr-rule linear" and "one constant rate" in text


def test_without_a_hit_no_seconds_are_promised():
    text = render_advice(
        document(seconds=None, seconds_interval=None, counterfactuals=[row(32, vs_best=0.02)]), "table"
    )
    assert "only relative times are" in text and "+2 %" in text


def test_the_size_with_least_energy_is_one_line():
    energy = {"batch_size": 8, "joules": 4321.0, "seconds": 20.0, "vs_recommended": 0.1}
    assert "least energy at batch 8: 4.32 kJ, 10 % less" in render_advice(document(energy=energy), "table")
    energy |= {"batch_size": 32}
    assert "least energy too: 4.32 kJ" in render_advice(document(energy=energy), "table")


def test_json_is_the_document_and_csv_the_counterfactuals():
    assert json.loads(render_advice(document(), "json")) == json.loads(json.dumps(document()))
    rows = list(csv.DictReader(io.StringIO(render_advice(document(), "csv"))))
    assert [r["batch_size"] for r in rows] == ["8", "32"] and json.loads(rows[1]["seconds_interval"]) == [10.0, None]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.25, "0.250 s"), (95, "95.0 s"), (150, "2.5 min"), (1620, "27 min"), (26820, "7 h 27")],
)
def test_durations_have_the_unit_that_fits(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"), [(None, "-"), (0.17, "+17 %"), (-0.2, "-20 %"), (0.001, "0 %"), (-0.001, "0 %")]
)
def test_a_percentage_has_its_sign_unless_it_is_zero(share, text):
    assert signed_percent(share) == text


def test_advice_from_a_noise_scale_alone_is_never_called_certain():
    made = document()
    made["optimum"] = made["optimum"] | {"sure": None}
    first = render_advice(made | {"range_level": None}, "table").splitlines()[0]
    assert first.startswith("USE BATCH SIZE 32   (the fastest if") and "certain" not in first and "[" not in first
