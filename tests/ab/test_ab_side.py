"""A side of `fastbs ab`: what it answers, that it runs the code of its own tree alone, and that it leaves nothing."""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastbs.ab.remote import opened_side
from fastbs.ab.side import VERSION
from fastbs.ab.worktree import Tree
from fastbs.errors import BadInput
from fastbs.worker.giving_turns import giving_turns

ROOT = Path(__file__).resolve().parents[2]
# A step that takes 2 ms of a clock of its own, chatters, and writes down which code of fastbs is loaded.
WORK = """
import json, os, sys, time
import fastbs
from fastbs import worker

print("what the user's code prints")
os.write(1, b"also past Python\\n")
now = 0.0
time.perf_counter = lambda: now

def make_step(batch_size):
    if batch_size == 2:
        return None
    def step():
        global now
        now += 0.002
    loaded = [module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "fastbs"]
    with open(os.environ["SEEN"], "a") as file:
        said = {"marker": fastbs.MARKER, "loaded": loaded, "folder": os.getcwd(), "batch_size": batch_size}
        print(json.dumps(said), file=file)
    return step

def make_endless_step(batch_size):
    with open(os.environ["SEEN"], "a") as file:
        print(os.getpid(), file=file)
    return lambda: time.sleep(0.01)
"""
CHATTER = """

_quiet = open_setting

def open_setting(plan):
    print("what a library prints")
    return _quiet(plan)
"""
PLAN = {
    "questions": ["step"],
    "function": "work.py:make_step",
    "batch_sizes": [1, 2, 8],
    "blocks": 2,
    "block_seconds": 0.05,
    "threads": 1,
    "device": "cpu",
}


def copy_of_the_code(folder, marker):
    """A tree that differs from this one by what `fastbs.MARKER` is, and prints while a plan is opened."""
    folder.mkdir()
    for name in ("fastbs", "kernels", "bench"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    with open(folder / "fastbs" / "__init__.py", "a") as file:
        file.write(f'\nMARKER = "{marker}"\n')
    with open(folder / "fastbs" / "bench" / "setting.py", "a") as file:
        file.write(CHATTER)
    (folder / "work.py").write_text(WORK)
    return folder


@contextmanager
def alone():
    """What a side is told where no other takes turns with it."""
    with giving_turns(1, first=0) as turns:
        yield f"{turns.address} 0"


def tree(folder):
    return Tree(folder, commit=None, dirty=None)


def alive(process):
    """Whether that process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(process, patience=10):
    deadline = time.monotonic() + patience
    while alive(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(process)


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    return copy_of_the_code(tmp_path_factory.mktemp("side") / "tree", "of the tree")


@pytest.fixture
def seen(tmp_path, monkeypatch):
    """Where the user's step writes what it saw."""
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    return tmp_path / "seen"


def test_a_side_opens_a_plan_and_measures_its_cells_with_the_code_of_its_tree_alone(code, seen, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # ours, which must not get in
    with opened_side("B", tree(code), PLAN) as side:
        opened = side.opened
        with alone() as turns, pytest.raises(BadInput, match="B: function: .* for batch size 2"):  # no step
            side.ask("measure", cell=1, round=0, turns=turns)
        with alone() as turns:
            outcome = side.ask("measure", cell=2, round=0, turns=turns)
    assert (opened["version"], opened["code"], opened["measured_code"]) == (VERSION, str(code), [str(code)])
    assert [cell["identity"] for cell in opened["cells"]] == [
        {"name": "work.py:make_step", "batch_size": size} for size in (1, 2, 8)
    ]
    assert opened["settings"]["plan"]["blocks"] == 2 and opened["machine"]["software"]["python"] and opened["timed"]
    assert outcome["status"] == "ok" and outcome["reason"] is None
    assert [seconds / calls for calls, seconds, *_ in outcome["value"]["blocks"]] == pytest.approx([0.002] * 2)
    [said] = map(json.loads, seen.read_text().splitlines())
    assert (said["marker"], said["folder"], said["batch_size"]) == ("of the tree", str(code), 8)
    assert len(said["loaded"]) > 5 and all(Path(file).is_relative_to(code) for file in said["loaded"])


def test_a_tree_that_takes_code_from_elsewhere_is_found_out(code, tmp_path):
    """Its `fastbs.kernels` is that of another tree, as where a symlink points out of it."""
    mixed = shutil.copytree(code, tmp_path / "mixed", symlinks=True)
    (mixed / "fastbs" / "bench").unlink()
    (mixed / "fastbs" / "bench").symlink_to(code / "bench")
    with pytest.raises(RuntimeError, match="side B imports"), opened_side("B", tree(mixed), PLAN):
        pass


def test_a_folder_without_fastbs_is_measured_by_ours(tmp_path, seen, monkeypatch):
    """A project of the user's own: what differs between its commits is the code that ours calls."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "work.py").write_text(WORK.replace("fastbs.MARKER", "'none'"))
    (tmp_path / "selectors.py").write_text("raise RuntimeError('not the one of the standard library')")
    with opened_side("A", tree(tmp_path), PLAN) as side, alone() as turns:
        assert side.opened["code"] == str(ROOT)
        assert side.ask("measure", cell=0, round=0, turns=turns)["status"] == "ok"
    assert json.loads(seen.read_text())["folder"] == str(tmp_path)


@pytest.mark.parametrize("lacks", ["fastbs/ab", "fastbs/ab/side.py"])
def test_code_from_before_ab_is_refused_in_one_line(code, tmp_path, lacks):
    old = shutil.copytree(code, tmp_path / "old", symlinks=True)
    path = old / lacks
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with (
        pytest.raises(BadInput, match="v0.1: its fastbs is older than fastbs ab"),
        opened_side("v0.1", tree(old), PLAN),
    ):
        pass


def test_code_that_speaks_another_version_is_refused(tmp_path):
    (tmp_path / "fastbs" / "ab").mkdir(parents=True)
    answer = json.dumps({"value": {"version": VERSION + 1}})
    for name, text in (("__init__.py", ""), ("ab/__init__.py", ""), ("ab/side.py", f"input()\nprint({answer!r})")):
        (tmp_path / "fastbs" / name).write_text(text)
    with pytest.raises(BadInput, match=f"speaks version {VERSION + 1}"), opened_side("B", tree(tmp_path), PLAN):
        pass


def test_a_plan_that_cannot_be_is_one_line_that_names_the_side(code):
    with pytest.raises(BadInput, match="B: .*blocs"), opened_side("B", tree(code), PLAN | {"blocs": 2}):
        pass


def test_a_side_and_what_it_measures_die_with_who_started_it(code, seen):
    script = f"""
from pathlib import Path
from fastbs.ab.remote import opened_side
from fastbs.worker.giving_turns import giving_turns
from fastbs.ab.worktree import Tree

plan = {PLAN | {"function": "work.py:make_endless_step", "block_seconds": 60}!r}
with opened_side("A", Tree(Path({str(code)!r}), None, None), plan) as side, giving_turns(1, first=0) as turns:
    print(side._process.pid, flush=True)
    side.ask("measure", cell=0, round=0, turns=turns.address + " 0")
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        side = int(parent.stdout.readline())
        deadline = time.monotonic() + 30
        while not (seen.exists() and seen.read_text().endswith("\n")) and time.monotonic() < deadline:
            time.sleep(0.05)
        measured = int(seen.read_text())
        assert alive(side) and alive(measured)
    finally:
        parent.kill()  # nothing that it could catch
        parent.communicate()
    assert gone(side) and gone(measured)
