"""A sweep that is killed at any moment and started again ends as one that was left alone, bit for bit.

FASTBS_KILLS says how many kills there are, FASTBS_KILL_SEED at which moments.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

KILLS = int(os.environ.get("FASTBS_KILLS", "6"))
OPTIONS = [
    "--batch-sizes",
    "4,16",
    "--epochs",
    "6",
    "--seeds",
    "3",
    "--workers",
    "2",
    "--eval-images",
    "20",
    "--checkpoint-seconds",
    "0",
]


def start(photos, out):
    command = [sys.executable, "-m", "fastbs", "sweep", str(photos), *OPTIONS, "--no-controls", "--threads", "1"]
    return subprocess.Popen(
        [*command, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=Path.cwd()
    )


def children(pid):
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def alive(pid):
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def finished_files(out):
    """Digest of every file of every run that is complete."""
    digests = {}
    for document in out.glob("runs/*/run.json"):
        if json.loads(document.read_text())["status"] == "ok":
            for name in ("run.json", "metrics.jsonl", "checkpoint.pt"):
                digests[document.parent / name] = hashlib.sha256((document.parent / name).read_bytes()).hexdigest()
    return digests


def outcome(out):
    """What must not depend on the kills: statuses, updates, losses and accuracies of every evaluation."""
    rows = {}
    for folder in sorted(out.glob("runs/*")):
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        keys = ("images", "updates", "train_loss", "train_top1", "loss", "top1", "lr")
        status = json.loads((folder / "run.json").read_text())["status"]
        rows[folder.name] = [status, *[[line[key] for key in keys] for line in lines]]
    return rows


def kill_at_random(sweep, who, delay, out, chance):
    """Kill after `delay` seconds; True when there was a training process to kill. Nobody may outlive it for long."""
    before = finished_files(out)
    time.sleep(delay)
    processes = children(sweep.pid)
    if not processes:
        sweep.communicate(timeout=300)
        return False
    if who == "child":
        kill(chance.choice(processes))
    elif who == "both":
        for child in processes:
            kill(child)
    if who != "child":
        kill(sweep.pid)
    _, said = sweep.communicate(timeout=300)
    assert "Traceback" not in said
    deadline = time.monotonic() + 10
    while any(map(alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, processes)), f"an orphan outlived the kill of the {who}"
    after = finished_files(out)
    assert {path: after[path] for path in before} == before, "a completed run was touched"
    return True


def finish(photos, out):
    """Start until all is done: a run whose process was killed alone is tried again by the next start."""
    while (sweep := start(photos, out)).wait() != 0:
        said = sweep.stderr.read()
        assert "failed: ended by SIGKILL" in said, said


@pytest.mark.slow
def test_a_sweep_with_two_workers_killed_again_and_again_ends_with_the_same_rows(photos, tmp_path):
    chance = random.Random(os.environ.get("FASTBS_KILL_SEED", "0"))
    alone = tmp_path / "alone"
    began = time.monotonic()
    finish(photos, alone)
    per_run = (time.monotonic() - began) / 5  # two runs alone, four in pairs, and a look at the images

    killed, folders = 0, [tmp_path / "killed-0"]
    while killed < KILLS:
        who = ("parent", "child", "both")[killed % 3]
        sweep = start(photos, folders[-1])
        if kill_at_random(sweep, who, chance.uniform(0, 1.3 * per_run), folders[-1], chance):
            killed += 1
        elif sweep.returncode == 0 and killed < KILLS:
            folders.append(tmp_path / f"killed-{len(folders)}")  # it ended before the kill: another one

    for out in folders:
        finish(photos, out)
        assert outcome(out) == outcome(alone)
        ours, theirs = (json.loads((folder / "summary.json").read_text()) for folder in (out, alone))
        for mine, other in zip(ours["rows"], theirs["rows"], strict=True):
            for key in (
                "batch_size",
                "status",
                "status_counts",
                "n",
                "updates",
                "train_top1_mean",
                "top1_mean",
                "top1_sd",
            ):
                assert mine[key] == other[key], key
