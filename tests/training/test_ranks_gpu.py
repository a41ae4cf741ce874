"""Two cards and NCCL: what gloo on a CPU cannot show."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = [pytest.mark.gpu, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
SETTINGS = "--batch-size 8 --updates 20 --eval-images 24 --precision fp32 --loader torch --norm group --device cuda"


def train(photos, out, *options):
    command = [sys.executable, "-m", "fastbs", "train", str(photos), "--out", str(out), *SETTINGS.split(), *options]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=300)
    return torch.load(out / "checkpoint.pt", map_location="cpu", weights_only=True)["model"]


def test_two_cards_end_with_the_weights_of_one(photos, tmp_path):
    if (cards := torch.cuda.device_count()) < 2:
        pytest.skip(f"needs two GPUs: torch sees {cards}")
    one, two = train(photos, tmp_path / "one"), train(photos, tmp_path / "two", "--gpus", "2")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4)
    document = json.loads((tmp_path / "two" / "run.json").read_text())
    assert document["world"]["ranks"] == 2 and document["world"]["backend"] == "nccl"
    assert document["result"]["synced_pass_seconds"] > 0
