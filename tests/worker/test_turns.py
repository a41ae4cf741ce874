"""Turns: one works while the other waits, and nobody waits for who is gone."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fastbs.worker.giving_turns import giving_turns
from fastbs.worker.turns import VARIABLE, taking_turns

ROOT = Path(__file__).resolve().parents[2]
PARTY = """
import sys, time
from fastbs.worker.turns import taking_turns

name, stretches, log = sys.argv[1], int(sys.argv[2]), sys.argv[3]

def say(what):
    with open(log, "a") as file:
        file.write(f"{name} {what}\\n")

with taking_turns() as turn:
    for number in range(stretches):
        with turn():
            say("begins")
            time.sleep(0.01)
            if sys.argv[4:] == ["dies"] and number == 1:
                sys.stdout.flush(); import os; os._exit(1)
            say("ends")
say("left")
"""


def party(turns, number, log, *more, stretches=5):
    return subprocess.Popen(
        [sys.executable, "-c", PARTY, "AB"[number], str(stretches), str(log), *more],
        env=os.environ | {"PYTHONPATH": str(ROOT), VARIABLE: f"{turns.address} {number}"},
    )


@pytest.mark.parametrize("first", [0, 1])
def test_stretches_alternate_and_never_overlap(tmp_path, first):
    log = tmp_path / "log"
    with giving_turns(2, first=first) as turns:
        both = [party(turns, number, log) for number in (0, 1)]
        assert [process.wait(20) for process in both] == [0, 0]
    said = log.read_text().split("\n")
    order = "AB" if first == 0 else "BA"
    expected = [f"{name} {what}" for _ in range(5) for name in order for what in ("begins", "ends")]
    assert said[:20] == expected
    assert sorted(said[20:22]) == ["A left", "B left"]  # who is through waits: what follows disturbs nobody


def test_one_goes_on_alone_when_the_other_dies_in_its_turn(tmp_path):
    log = tmp_path / "log"
    with giving_turns(2, first=0) as turns:
        dying, staying = party(turns, 0, log, "dies"), party(turns, 1, log)
        assert (dying.wait(20), staying.wait(20)) == (1, 0)
    assert log.read_text().count("B ends") == 5 and log.read_text().count("A ends") == 1


def test_one_that_dies_while_it_waits_keeps_nobody_waiting(tmp_path):
    log = tmp_path / "log"
    with giving_turns(2, first=1) as turns:
        waiting = party(turns, 0, log)
        time.sleep(0.5)
        waiting.kill()
        waiting.wait()
        turns.left(0)  # as the caller does when the process has ended
        assert party(turns, 1, log).wait(20) == 0
    assert log.read_text().count("B ends") == 5 and "A begins" not in log.read_text()


def test_one_that_never_comes_keeps_nobody_waiting(tmp_path):
    with giving_turns(2, first=0) as turns:
        there = party(turns, 1, tmp_path / "log")
        threading.Timer(0.3, turns.left, (0,)).start()
        assert there.wait(20) == 0


def test_the_first_turn_waits_for_both(tmp_path):
    log = tmp_path / "log"
    with giving_turns(2, first=0) as turns:
        early = party(turns, 0, log)
        time.sleep(0.5)
        assert not log.exists()
        assert party(turns, 1, log).wait(20) == 0 and early.wait(20) == 0


def test_who_shares_with_nobody_takes_no_turns(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with taking_turns() as turn:
        assert turn is None
