"""Real ranks on a CPU, started by torchrun and by --gpus, and what becomes of the run when one of them dies."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from fastbs.results.run_folder import RunFolder
from fastbs.training import checkpoint

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = "--batch-size 8 --eval-images 56 --device cpu --threads 1 --precision fp32 --loader resident --norm group"
LONG = [*SETTINGS.split(), "--updates", "1000000", "--checkpoint-seconds", "0"]


@pytest.fixture
def start(photos, tmp_path):
    """start(out, options, torchrun=None or its options): `fastbs train` on the photographs, killed when we are done."""
    begun = []

    def run(out, options, torchrun=None, **env):
        ranks = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *(torchrun or ())]
        command = [sys.executable, *(ranks if torchrun is not None else []), "-m", "fastbs", "train", str(photos)]
        settings = os.environ | {"PYTHONPATH": str(ROOT), **env}
        with open(tmp_path / "log", "a") as log:
            begun.append(
                subprocess.Popen(
                    [*command, "--out", str(tmp_path / out), *options], stderr=log, stdout=log, env=settings
                )
            )
        return begun[-1], RunFolder(tmp_path / out)

    yield run
    for process in begun:
        process.kill()
        process.wait()


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def children(pid):
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def descendants(pid):
    return [each for child in children(pid) for each in (child, *descendants(child))]


def rank_process(top, rank):
    """What torchrun started as that rank: a process whose parent has no rank."""
    for pid in descendants(top):
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"RANK={rank}".encode() in environment:
            return pid
    return None


def trained(folder):
    """Whether both ranks are at it: an evaluation is there, and a checkpoint."""
    return folder.checkpoint.exists() and folder.metrics.read_text().count("\n") > 1


@pytest.mark.slow
def test_a_killed_training_process_ends_the_run_with_a_record_that_names_its_rank(start):
    process, folder = start("run", [*LONG, "--gpus", "2"])
    until(lambda: trained(folder))
    (training,) = children(rank_process(process.pid, 1))
    os.kill(training, signal.SIGKILL)
    assert process.wait(20) == 1
    record = folder.record()
    assert (record.status, record.reason) == ("failed", "rank 1: ended by SIGKILL")


@pytest.mark.slow
def test_a_rank_that_is_killed_whole_is_named_by_the_one_that_is_left(start):
    process, folder = start("run", LONG, torchrun=())
    until(lambda: trained(folder))
    os.kill(rank_process(process.pid, 0), signal.SIGKILL)
    assert process.wait(20) == 1
    assert folder.record().reason == "rank 0: killed, without a last word"


@pytest.mark.slow
def test_a_rank_that_hangs_ends_the_run_when_the_others_have_waited(start):
    process, folder = start("run", [*LONG, "--gpus", "2"], FASTBS_RANK_SECONDS="3")
    until(lambda: trained(folder))
    (training,) = children(rank_process(process.pid, 1))
    os.kill(training, signal.SIGSTOP)
    assert process.wait(30) == 1
    assert folder.record().reason.startswith("rank 0: no answer from rank 1 (")


@pytest.mark.slow
def test_an_elastic_restart_goes_on_from_the_checkpoint_to_the_same_weights(start):
    options = [*SETTINGS.split(), "--updates", "400", "--eval-images", "112", "--checkpoint-seconds", "0"]
    cut, folder = start("cut", options, torchrun=("--max-restarts", "1"))
    until(lambda: trained(folder))
    os.kill(rank_process(cut.pid, 1), signal.SIGKILL)
    assert cut.wait(60) == 0
    document = json.loads(folder.document.read_text())
    assert document["status"] == "ok" and len(list(folder.path.glob("events.out*"))) == 2  # one of each start
    whole, undisturbed = start("whole", options, torchrun=())
    assert whole.wait(60) == 0
    ours, theirs = (checkpoint.load(each.checkpoint, torch.device("cpu"))["model"] for each in (folder, undisturbed))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert [e.top1 for e in folder.evaluations()] == [e.top1 for e in undisturbed.evaluations()]


@pytest.mark.slow
def test_who_ends_torchrun_leaves_the_run_open_and_the_same_command_continues_it(start):
    process, folder = start("run", LONG, torchrun=())
    until(lambda: trained(folder))
    process.send_signal(signal.SIGTERM)
    process.wait(40)
    assert json.loads(folder.document.read_text())["status"] == "running"
    before = folder.evaluations()
    _, again = start("run", LONG, torchrun=())
    until(lambda: len(again.evaluations()) > len(before))
    assert again.evaluations()[: len(before) - 1] == before[:-1]  # the last may lie after the checkpoint


@pytest.mark.slow
@pytest.mark.parametrize("starter", ["--gpus", "torchrun"])
def test_ranks_that_are_asked_to_leave_save_where_they_stand_and_leave_the_run_open(start, starter):
    options = [*SETTINGS.split(), "--updates", "1000000", "--checkpoint-seconds", "1000"]
    asked = start("run", options, torchrun=()) if starter == "torchrun" else start("run", [*options, "--gpus", "2"])
    process, folder = asked
    until(folder.evaluations)
    for pid in descendants(process.pid):  # as Slurm asks all that runs in a step
        os.kill(pid, signal.SIGUSR2)
    assert process.wait(30) == (1 if starter == "torchrun" else 130)
    assert json.loads(folder.document.read_text())["status"] == "running"
    assert checkpoint.load(folder.checkpoint, torch.device("cpu"))["updates"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("when", ["at once", "in training"])
def test_who_starts_the_ranks_passes_on_that_it_is_asked_to_leave(start, when):
    options = [*SETTINGS.split(), "--gpus", "2", "--updates", "1000000", "--checkpoint-seconds", "1000"]
    options += ["--eval-images", "64"]  # an evaluation at each update at which ranks look up
    process, folder = start("run", options)
    until(folder.evaluations if when == "in training" else lambda: children(process.pid))
    process.send_signal(signal.SIGUSR2)
    assert process.wait(30) == 130
    assert not folder.document.exists() or json.loads(folder.document.read_text())["status"] == "running"
    if when == "in training":
        assert checkpoint.load(folder.checkpoint, torch.device("cpu"))["updates"] > 0


@pytest.mark.slow
def test_who_ends_the_launcher_alone_leaves_the_run_open(start):
    process, folder = start("run", [*LONG, "--gpus", "2"])
    until(lambda: trained(folder))
    (launcher,) = children(process.pid)
    os.kill(launcher, signal.SIGTERM)
    assert process.wait(40) == 130
    assert json.loads(folder.document.read_text())["status"] == "running"


def test_a_rank_that_dies_before_the_run_has_begun_is_no_bug_of_ours(start, tmp_path):
    process, folder = start("run", [*LONG, "--gpus", "2"])
    os.kill(until(lambda: rank_process(process.pid, 0)), signal.SIGKILL)
    assert process.wait(30) == 2
    assert (
        "rank 0: ended by SIGKILL, before a run was begun; the same command begins it" in (tmp_path / "log").read_text()
    )
    assert not folder.document.exists()


def test_bad_input_of_a_rank_is_one_line_and_exit_code_2(start, tmp_path):
    process, _ = start("run", [*SETTINGS.split(), "--gpus", "2", "--model", "nonesuch"])
    assert process.wait(60) == 2
    said = (tmp_path / "log").read_text().splitlines()
    assert len([line for line in said if line.startswith("fastbs: ")]) == 1 and "nonesuch" in said[-1]


@pytest.mark.slow
def test_a_run_that_diverges_on_its_ranks_is_recorded_as_that(start):
    process, folder = start("run", [*SETTINGS.split(), "--gpus", "2", "--updates", "70", "--lr", "1e12"])
    assert process.wait(60) == 1
    assert folder.record().status == "diverged"
