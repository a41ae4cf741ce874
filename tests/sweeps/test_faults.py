"""What happens to machines: clocks that jump, disks that fill up."""

import json
import os
import subprocess
import sys

import pytest

OPTIONS = ("--batch-sizes", "4", "--epochs", "6", "--seeds", "1", "--threads", "1", "--checkpoint-seconds", "0")
KEYS = ("images", "updates", "train_loss", "train_top1", "loss", "top1", "lr")
JUMPS = """
import random, time
_true = time.time
time.time = lambda: _true() + random.choice((-86_400, 0, 86_400))
"""


def sweep(photos, out, **env):
    command = [sys.executable, "-m", "fastbs", "sweep", photos, *OPTIONS, "--no-controls", "--out", out]
    return subprocess.run(list(map(str, command)), env=dict(os.environ) | env, capture_output=True, text=True)


def lines(out):
    return {
        folder.name: [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in out.glob("runs/*")
    }


def rows(out):
    return {name: [[line[key] for key in KEYS] for line in own] for name, own in lines(out).items()}


@pytest.fixture(scope="module")
def alone(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("alone") / "out"
    assert sweep(photos, out).returncode == 0
    return out


@pytest.mark.slow
def test_a_wall_clock_that_jumps_by_days_changes_no_row_and_no_duration(photos, alone, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(JUMPS)
    out = tmp_path / "out"
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = sweep(photos, out, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert rows(out) == rows(alone)
    for own in lines(out).values():
        for clock in ("train_seconds", "wall_seconds"):
            seconds = [line[clock] for line in own]
            assert seconds == sorted(seconds) and seconds[0] > 0 and seconds[-1] < 3600
    for document in out.glob("runs/*/run.json"):
        result = json.loads(document.read_text())["result"]
        assert all(0 <= value < 3600 for key, value in result.items() if key.endswith("_seconds") and value is not None)


@pytest.fixture
def small_disk(tmp_path):
    """Resizes a file system of its own to so many KiB; the first call makes it."""
    place = tmp_path / "disk"
    place.mkdir()

    def resize(kib, *options):
        command = ["mount", *options, "-o", f"{'remount,' if options == () else ''}size={kib}k", "tmpfs", place]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True)

    if os.geteuid() != 0 or resize(1, "-t", "tmpfs").returncode != 0:
        pytest.skip("needs to mount a tmpfs, which this user may not")
    yield place, resize
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up_on_the_way_loses_nothing_that_was_there(photos, alone, small_disk):
    place, resize = small_disk
    refused = 0
    for kib in (40, 300, 700, 20_000):
        assert resize(kib).returncode == 0
        done = sweep(photos, place / "out")
        assert "Traceback" not in done.stderr
        if done.returncode == 0:
            break
        assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith("fastbs: "), done.stderr
        assert "No space left on device" in done.stderr or "cannot be written" in done.stderr
        assert not list(place.rglob("*.tmp"))
        refused += 1
    assert done.returncode == 0 and refused >= 2
    assert rows(place / "out") == rows(alone)
