"""Several fresh processes as ranks: they find each other, and none outlives another's failure."""

import os
import time

import pytest

from fastbs.worker import call_together, together

TARGETS = """
import os, time
from fastbs.errors import BadInput
from fastbs.worker import OtherRankLost

def say(word, rank): return [word, rank["rank"], rank["ranks"], rank["local_rank"], os.environ["MASTER_PORT"]]
def die(folder, rank):
    open(f"{folder}/{rank['rank']}", "w").write(str(os.getpid()))
    if rank["rank"] == 1:
        os.abort()
    time.sleep(60)
def lose(rank):
    if rank["rank"] == 1:
        time.sleep(0.3)
        raise BadInput("a broken photograph")
    raise OtherRankLost("rank 1 is gone")
"""


@pytest.fixture(autouse=True)
def targets(tmp_path, monkeypatch):
    (tmp_path / "targets.py").write_text(TARGETS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(together, "PATIENCE", 1.0)


def test_every_rank_knows_which_it_is_and_the_first_one_answers():
    outcome = call_together("targets:say", {"word": "here"}, 3)
    assert outcome.status == "ok" and outcome.value[:4] == ["here", 0, 3, 0]
    assert 0 < int(outcome.value[4]) < 1 << 16


def test_the_others_do_not_outlive_one_that_dies(tmp_path):
    start = time.monotonic()
    outcome = call_together("targets:die", {"folder": str(tmp_path)}, 2)
    assert (outcome.status, outcome.reason) == ("failed", "ended by SIGABRT")
    assert time.monotonic() - start < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "0").read_text()), 0)


def test_the_cause_is_told_and_not_what_it_did_to_others():
    outcome = call_together("targets:lose", {}, 2)
    assert outcome.bad_input and outcome.reason == "a broken photograph"
