"""A run that is asked to leave saves where it stands, in the middle of whatever it does, and goes on there."""

import hashlib
import json
import signal
import subprocess
import sys
import time

import pytest
import torch

OPTIONS = ("--batch-size", "4", "--epochs", "80", "--eval-images", "1200", "--threads", "1", "--loader-threads", "1")
KEYS = ("images", "updates", "train_loss", "train_top1", "loss", "top1", "lr")


def start(photos, out):
    command = [sys.executable, "-m", "fastbs", "train", str(photos), *OPTIONS, "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def what_it_is(out):
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    weights = torch.load(out / "checkpoint.pt", weights_only=True)["model"]
    digest = hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in weights.values())).hexdigest()
    return [[line[key] for key in KEYS] for line in lines], digest


@pytest.mark.slow
def test_a_run_asked_to_leave_in_the_middle_of_an_epoch_ends_with_the_same_weights(photos, tmp_path):
    alone, left = tmp_path / "alone", tmp_path / "left"
    assert start(photos, alone).wait() == 0
    run = start(photos, left)
    while not list(left.glob("events*")):
        assert run.poll() is None
        time.sleep(0.02)
    time.sleep(0.4)
    run.send_signal(signal.SIGUSR2)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130 and "interrupted; the same command continues" in said and "Traceback" not in said
    stood = torch.load(left / "checkpoint.pt", weights_only=True)["updates"]
    assert stood > 0 and stood % 300 != 0
    assert json.loads((left / "run.json").read_text())["status"] == "running"
    assert start(photos, left).wait() == 0
    assert what_it_is(left) == what_it_is(alone)
