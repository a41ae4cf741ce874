"""What a user can get wrong: exit code 2, one line that names the culprit, and nothing half-written."""

import shutil
import subprocess
import sys

import pytest
from PIL import Image

QUICK = ("--batch-sizes", "4", "--epochs", "1", "--seeds", "1", "--threads", "1")


def sweep(*arguments, **options):
    command = [sys.executable, "-m", "fastbs", "sweep", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


def refused(done, *says):
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    line = done.stderr.splitlines()[-1]
    assert line.startswith("fastbs: ") and "Traceback" not in done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("fastbs: ")] == [line]
    for text in says:
        assert text in line
    return True


@pytest.fixture
def copy(photos, tmp_path):
    return shutil.copytree(photos, tmp_path / "photos")


def test_a_truncated_jpeg_is_named_before_anything_runs(copy, tmp_path):
    path = copy / "bars" / "broken.jpg"
    Image.effect_noise((64, 64), 50).convert("RGB").save(path)
    path.write_bytes(path.read_bytes()[:500])
    assert refused(sweep(copy, *QUICK, "--out", tmp_path / "out"), "broken.jpg", "fastbs data check")
    assert not (tmp_path / "out").exists()


def test_an_empty_class_is_named(copy, tmp_path):
    (copy / "none").mkdir()
    assert refused(sweep(copy, *QUICK, "--out", tmp_path / "out"), "none")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--batch-sizes", "4,1000"], "1000 is larger than the training set of 60 images"),
        (["--model", "resnet19"], "resnet19"),
        (["--model", "nowhere:net"], "nowhere"),
        (["--precision", "tf32"], "tf32 is a format of NVIDIA GPUs"),
        (["--init", "missing.pt"], "missing.pt"),
        (["--workers", "9999"], "workers: 9999 processes at a time need a core each, and this machine has"),
    ],
)
def test_what_cannot_be_trained_is_refused_up_front(photos, tmp_path, options, says):
    assert refused(sweep(photos, *QUICK, *options, "--out", tmp_path / "out"), says)
    assert not (tmp_path / "out").exists()


def test_an_unknown_key_of_a_settings_file_is_named_with_its_file(photos, tmp_path):
    (tmp_path / "mine.toml").write_text("learning_rate = 1\n")
    assert refused(sweep(photos, "--config", tmp_path / "mine.toml"), "mine.toml", "unknown key 'learning_rate'")


def test_a_folder_that_holds_another_experiment_is_refused_and_left_alone(photos, tmp_path):
    out = tmp_path / "out"
    assert sweep(photos, *QUICK, "--out", out).returncode == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != "lock"}
    other = sweep(photos, *QUICK, "--lr", "0.5", "--out", out)
    assert refused(other, "out: holds another experiment", "lr 0.01, not 0.5")
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != "lock"}


def test_a_folder_of_something_else_is_refused(photos, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    assert refused(sweep(photos, *QUICK, "--out", tmp_path / "out"), "thesis.tex")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_a_second_sweep_in_the_same_folder_is_refused(photos, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "fastbs", "sweep", photos, *QUICK, "--out", out]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (out / "lock").exists() or not (out / "lock").read_text():
        assert first.poll() is None
    second = sweep(photos, *QUICK, "--out", out)
    assert first.wait() == 0
    assert refused(second, f"{out}: process {first.pid} on ", "is writing here; wait for it or use --out")


def test_a_folder_that_cannot_be_written_is_named(photos):
    assert refused(sweep(photos, *QUICK, "--out", "/proc/fastbs"), "/proc/fastbs", "cannot be written")


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [0, 4, 64])
def test_a_full_disk_is_said_and_leaves_nothing_half_written(photos, tmp_path, blocks):
    """A limit on the size of files (KiB) stands for a full disk: at the first file, the plan, the checkpoint."""
    out = tmp_path / "out"
    command = f'ulimit -f {blocks}; exec "$0" -m fastbs sweep "$@"'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable, photos, *QUICK, "--out", out], capture_output=True, text=True
    )
    assert refused(done, "cannot be written")
    assert not list(out.rglob("*.tmp"))
    again = sweep(photos, *QUICK, "--out", out)
    assert again.returncode == 0, again.stderr


def test_more_ranks_than_cores_are_refused_before_one_is_started(photos, tmp_path):
    options = ["--gpus", "9999", "--batch-size", "9999", "--device", "cpu", "--out", str(tmp_path / "out")]
    command = [sys.executable, "-m", "fastbs", "train", str(photos), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert refused(done, "gpus: 9999 processes at a time need a core each, and this machine has")
    assert not (tmp_path / "out").exists()
