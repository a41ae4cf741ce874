"""What every verb shares: a light start, one line per error, an exit code per ending."""

import subprocess
import sys

import pytest

from fastbs.results.sweep_folder import SweepFolder

LIGHT = "import sys; sys.argv = ['fastbs', *sys.argv[1:]]; import fastbs.cli\n" + (
    "try: fastbs.cli.main()\n"
    "except SystemExit: pass\n"
    "heavy = sorted({name.split('.')[0] for name in sys.modules} & {'torch', 'nvidia', 'triton', 'scipy', 'pandas'})\n"
    "print('heavy:', heavy)\n"
)


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "fastbs", *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("arguments", [["--help"], ["sweep", "--help"], ["show", "--help"], ["show", "nowhere"]])
def test_help_and_show_import_nothing_heavy(arguments):
    done = subprocess.run([sys.executable, "-c", LIGHT, *arguments], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "heavy: []", done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["swep"], "No such command 'swep'"),
        (["sweep"], "Missing argument 'DATA'"),
        (["sweep", "nowhere"], "nowhere"),
        (["sweep", "nowhere", "--batch-sizes", "0"], "'0' is no batch size above 0"),
        (["sweep", "nowhere", "--batch-sizes", "many"], "'many' is no batch size above 0"),
        (["sweep", "nowhere", "--preset", "psot"], "preset 'psot': unknown; known: demo, post"),
        (["sweep", "nowhere", "--lr", "-1"], "lr: -1.0 is not a number above 0"),
        (["train", "nowhere", "--batch-size", "0"], "batch-size: 0 is not a number from 1 on"),
        (["show", "nowhere"], "nowhere: holds no sweep of fastbs"),
        (["data", "check", "nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_exit_code_2(arguments, says):
    done = run(*arguments)
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert says in done.stderr and done.stderr.startswith("fastbs: ") and done.stderr.count("\n") == 1


def test_a_sweep_that_is_not_planned_yet_is_not_called_none(tmp_path):
    SweepFolder(tmp_path).lock.touch()
    done = run("show", str(tmp_path))
    assert done.returncode == 2 and "its sweep is not planned yet" in done.stderr


def test_every_verb_has_help_that_starts_with_what_it_does():
    for verb in ("doctor", "data", "train", "sweep", "show"):
        done = run(verb, "--help")
        assert done.returncode == 0 and done.stdout.startswith(f"Usage: fastbs {verb}")


def test_a_bug_of_ours_says_so_and_has_its_own_exit_code(tmp_path):
    script = (
        "import fastbs.cli, click, sys\n"
        "@click.command()\n"
        "def broken(): raise RuntimeError('inside')\n"
        "fastbs.cli.fastbs = broken; sys.argv = ['fastbs']; fastbs.cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 70
    assert "RuntimeError: inside" in done.stderr and "bug" in done.stderr and done.stderr.count("\n") == 1


def test_the_version_is_told():
    done = run("--version")
    assert done.returncode == 0 and "fastbs" in done.stdout
