"""The commands that the README promises are the ones that exist, and CI runs those and no others."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A command stands at the start of a line, alone or after a prompt; a word in a sentence is none.
COMMAND = re.compile(r"^(?:\$ |- run: |\s+- run: )?(make [a-z]+)\b", re.MULTILINE)


def commands(name):
    return COMMAND.findall((ROOT / name).read_text())


def dry_run(folder, *arguments):
    """What make would do, without doing it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", "-n", *arguments], cwd=folder, env=clean, capture_output=True, text=True)


def test_the_readme_needs_two_commands_only():
    assert {"make demo", "make test"} <= set(commands("README.md"))


@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md", ".ci/run", ".github/workflows/test.yml"])
def test_every_make_command_that_a_file_names_exists(file, tmp_path, copy_tree):
    tree = copy_tree(tmp_path / "a b")
    assert commands(file)
    for command in commands(file):
        answer = dry_run(tree, command.split()[1])
        assert answer.returncode == 0, answer.stderr
        assert "Nothing to be done" not in answer.stdout


def test_ci_runs_the_readme_s_test_command_first_then_the_style():
    assert commands(".ci/run") == ["make test", "make lint", "make demo"]
    assert commands(".ci/run")[0] in commands("README.md")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_a_gpu_run_installs_nothing(tmp_path, copy_tree):
    said = dry_run(copy_tree(tmp_path / "a b"), "gpu", "PYTHON=/opt/my python/bin/python3", "DATA=/mnt/a b").stdout
    assert "install" not in said and ".venv" not in said
    first = said.splitlines()[1]
    assert first.startswith('PYTHONPATH=. FASTBS_SHARED_DATA="/mnt/a b" "/opt/my python/bin/python3" -m pytest')
    assert "--keep-going" in said  # a test that fails must not cost the measurements


def test_what_is_installed_is_not_installed_again(tmp_path, copy_tree):
    tree = copy_tree(tmp_path / "a b")
    assert "requirements/install.py" in dry_run(tree, "test").stdout
    (tree / ".venv").mkdir()
    (tree / ".venv" / "installed").touch()
    assert "requirements/install.py" not in dry_run(tree, "test").stdout
    os.utime(tree / "requirements" / "cpu.txt", (2e9, 2e9))
    assert "requirements/install.py" in dry_run(tree, "test").stdout
