"""A sweep that is killed at any moment and started again ends as one that was left alone, bit for bit."""

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

KILLS = 12
OPTIONS = ["--batch-sizes", "4,16", "--epochs", "6", "--seeds", "2", "--eval-images", "20", "--checkpoint-seconds", "0"]


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


@pytest.mark.slow
def test_a_sweep_killed_twelve_times_ends_with_the_same_rows(photos, tmp_path):
    chance = random.Random(os.environ.get("FASTBS_KILL_SEED", "0"))
    began = time.monotonic()
    undisturbed = start(photos, tmp_path / "alone")
    assert undisturbed.wait() == 0, undisturbed.stderr.read()
    length = time.monotonic() - began

    out, killed, hit_training = tmp_path / "killed", 0, 0
    while killed < KILLS:
        before = finished_files(out)
        sweep = start(photos, out)
        time.sleep(chance.uniform(0.2, 0.7 * length))
        processes = children(sweep.pid)
        who = ("parent", "child", "both")[killed % 3]
        if who != "parent":
            for child in processes:
                kill(child)
        if who != "child":
            kill(sweep.pid)
        hit_training += bool(processes)
        _, said = sweep.communicate(timeout=120)
        assert "Traceback" not in said
        for child in processes:
            deadline = time.monotonic() + 10
            while alive(child) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert not alive(child), f"an orphan outlived the kill of the {who}"
        after = finished_files(out)
        assert {path: after[path] for path in before} == before, "a completed run was touched"
        killed += 1
    while (last := start(photos, out)).wait() != 0:
        said = last.stderr.read()
        assert "failed" in said, said

    assert hit_training >= KILLS // 2
    assert outcome(out) == outcome(tmp_path / "alone")
    ours, theirs = (json.loads((tmp_path / name / "summary.json").read_text()) for name in ("killed", "alone"))
    for mine, other in zip(ours["rows"], theirs["rows"], strict=True):
        for key in ("batch_size", "status", "status_counts", "n", "updates", "top1_mean", "top1_sd", "train_top1_mean"):
            assert mine[key] == other[key], key
