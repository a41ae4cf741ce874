"""The noise of a machine: that it is the noise that is there, and that compare believes it as far as it goes."""

import csv
import json
import math
import os
import random
import statistics
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from fastbs.ab import calibrate as module
from fastbs.ab import interleave
from fastbs.ab.calibrate import calibrate
from fastbs.ab.run import side_of
from fastbs.ab.worktree import Tree
from fastbs.analysis.comparison.calibration import Calibration
from fastbs.analysis.comparison.compare import compare
from fastbs.analysis.comparison.gate import DEFAULT_GATE, Gate
from fastbs.analysis.comparison.options import Options
from fastbs.errors import BadInput
from fastbs.rendering.calibration import render_calibration
from fastbs.results.files import dump_json

ROOT = Path(__file__).resolve().parents[2]
CELLS = [{"question": "step", "identity": {"name": "f.py:f", "batch_size": size}} for size in (1, 8)]
STEP = """
import os, time

now, slower = 0.0, 1 + os.getpid() % 7 / 100
time.perf_counter = lambda: now

def make_step(batch_size):
    def step():
        global now
        now += 0.001 * slower
    return step
"""


def outcome(seconds):
    """Of a process whose calls take so long."""
    return {"status": "ok", "reason": None, "value": {"blocks": [[10, 10 * seconds, 0, None]] * 2, "images": 1}}


def remote(name, measure):
    settings = {"plan": {}, "device": "cpu", "threads": 1, "dataset": None, "models": {}}
    opened = {"cells": CELLS, "settings": settings, "machine": {}, "timed": "invented"}
    told = []
    return SimpleNamespace(
        name=name,
        tree=Tree(None, None, None),
        opened=opened,
        tell=lambda what, cell, round, turns: told.append(measure(cell, round)),
        answer=told.pop,
    )


@pytest.fixture(autouse=True)
def no_processes(monkeypatch):
    """None of those that answer is real: no turns are given, and nobody is waited for."""
    turns = SimpleNamespace(address="none", left=lambda party: None)
    monkeypatch.setattr(interleave, "giving_turns", lambda parties, first: nullcontext(turns))
    monkeypatch.setattr(interleave, "select", SimpleNamespace(select=lambda read, *_: (read, [], [])))


def noisy(seed, *, sd, drift=0.0):
    """Processes whose times vary by `sd`, each slower than the one before by `drift`."""
    draw, count = random.Random(seed), 0

    def measure(cell, round):
        nonlocal count
        count += 1
        return outcome(0.001 * math.exp(draw.gauss(0, sd) + drift * count))

    return measure


@pytest.fixture
def calibrated(monkeypatch):
    """calibrated(measure, pairs) is the document of a machine of which `measure` tells the times."""

    def run(measure, pairs):
        @contextmanager
        def opened(arms, plan, folder):
            assert [(arm.ref, arm.settings) for arm in arms] == [(".", {})] * 2
            yield remote("A", measure), remote("A", measure)

        monkeypatch.setattr(module, "opened", opened)
        return calibrate({}, folder=None, pairs=pairs, progress=lambda text: None)

    return run


def test_noise_is_that_between_two_of_all_the_processes(calibrated):
    measured, measure = {0: [], 1: []}, noisy(1, sd=0.03)

    def remembered(cell, round):
        told = measure(cell, round)
        measured[cell].append(math.log(told["value"]["blocks"][0][1]))
        return told

    document = calibrated(remembered, pairs=6)
    assert (document["kind"], len(document["rows"])) == ("calibration", 2)
    for row, logs in zip(document["rows"], measured.values(), strict=True):
        assert len(logs) == 12 and (row["df"], row["pairs"]) == (11, 6)
        assert row["noise"] == pytest.approx(math.sqrt(2) * statistics.stdev(logs))
        ratios = [a - b for a, b in zip(logs[::2], logs[1::2], strict=True)]  # which of them is head does not matter
        assert row["paired_noise"] == pytest.approx(math.sqrt(statistics.mean(ratio**2 for ratio in ratios)))


def test_noise_is_what_it_is_and_a_drift_is_in_it_but_not_between_neighbours(calibrated):
    still, drifting = (calibrated(noisy(2, sd=0.02, drift=drift), pairs=150)["rows"][0] for drift in (0, 0.001))
    assert still["noise"] == pytest.approx(still["paired_noise"], rel=0.15)
    assert still["noise"] == pytest.approx(math.sqrt(2) * 0.02, rel=0.15)
    assert drifting["noise"] > 5 * still["noise"]
    assert drifting["paired_noise"] == pytest.approx(still["paired_noise"], rel=0.05)


def test_one_process_a_side_raises_no_more_than_5_percent_of_false_alarms_once_calibrated(calibrated):
    sd, trials, alarms = 0.03, 300, 0
    for seed in range(trials):
        measure = noisy(seed, sd=sd)
        calibration = Calibration.from_json(json.loads(dump_json(calibrated(measure, pairs=5))), "noise.json")
        sides = [side_of(remote(name, measure), [[{"process": 0} | measure(0, 0)] for _ in CELLS]) for name in "AB"]
        document = compare(*sides, options=Options(calibration=calibration), gate=Gate.parse(DEFAULT_GATE, "gate"))
        assert {row["spread_from"] for row in document["rows"]} == {"calibration"}
        alarms += not {"slower", "faster"}.isdisjoint(document["counts"])
    assert alarms / trials <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / trials)


def test_a_row_that_does_not_end_well_is_named_and_nothing_is_calibrated(calibrated):
    def measure(cell, round):
        return {"status": "oom", "reason": "no memory", "value": None} if cell == 1 else outcome(0.001)

    with pytest.raises(BadInput, match=r"step f.py:f 8: oom \(no memory\)"):
        calibrated(measure, pairs=3)


def test_every_format_shows_every_row_and_json_is_the_document(calibrated):
    document = calibrated(noisy(3, sd=0.02), pairs=4)
    table, markdown, text = (render_calibration(document, style) for style in ("table", "markdown", "csv"))
    names, *rows = csv.reader(text.splitlines())
    assert [row[:2] for row in rows] == [["step f.py:f", "1"], ["step f.py:f", "8"]]
    visible = [float(value.removesuffix(" %")) for value in rows[0][4:]]
    assert visible == sorted(visible, reverse=True) and names[4] == "visible with 1+1"
    assert all(value in table and value in markdown for row in rows for value in row)
    assert json.loads(render_calibration(document, "json")) == json.loads(dump_json(document))


def calibrate_here(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "fastbs", "calibrate", "--question", "step", "--batch-sizes", "1", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_the_verb_prints_the_table_and_writes_a_file_that_compare_takes(tmp_path):
    (tmp_path / "f.py").write_text(STEP)
    done = calibrate_here(tmp_path, "--function", "f.py:make_step", "--pairs", "2", "--json", "noise.json")
    assert done.returncode == 0, done.stderr
    assert "step f.py:make_step" in done.stdout and done.stderr.splitlines()[-1].startswith("round 2, ")
    document = json.loads((tmp_path / "noise.json").read_text())
    assert document["kind"] == "calibration" and document["machine"]["software"]["python"]
    key = (("question", "step"), ("name", "f.py:make_step"), ("batch_size", 1))
    noise = document["rows"][0]["noise"]
    assert Calibration.from_json(document, "noise.json").noise_of(key, "images_per_second") == (noise, 3)
    assert 0 <= noise < 0.1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--json", "noise.json"], "--function"),
        (["--function", "f.py:f", "--pairs", "1"], "pairs"),
        (["--function", "f.py:f", "--json", "."], ".: cannot be written"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_no_file(tmp_path, arguments, said):
    done = calibrate_here(tmp_path, *arguments)
    assert done.returncode == 2 and said in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
