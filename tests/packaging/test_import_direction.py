"""Imports go downwards only: the contracts hold, and each of them would notice."""

import os
import subprocess
import sys
from itertools import pairwise

import pytest

LINT = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"

HOUSE = ["cli", "sweeps", "training", "data", "worker", "rendering", "analysis", "results", "config", "errors"]
UPWARDS = [
    (f"{low}.py" if low in ("config", "errors") else f"{low}/__init__.py", f"import fastbs.{high}")
    for high, low in pairwise(HOUSE)
]
BROKEN = [(file, line, "Imports go downwards only") for file, line in UPWARDS] + [
    ("bench/__init__.py", "import fastbs.sweeps", "Imports go downwards only"),
    ("attic/__init__.py", "# a room without a place", "Imports go downwards only"),
    ("analysis/trend.py", "import torch", "The rooms from the worker down start without torch"),
    ("worker/call.py", "import nvidia.dali", "The rooms from the worker down start without torch"),
    ("kernels/__init__.py", "import fastbs.config", "Kernels and models know nothing of fastbs but its error"),
    ("models/__init__.py", "import fastbs.kernels", "Kernels and models know nothing of each other"),
]


def lint(folder):
    """(exit code, what import-linter said) about the fastbs in a folder."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", LINT]
    answer = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True)
    return answer.returncode, answer.stdout + answer.stderr


@pytest.fixture(scope="module")
def tree(tmp_path_factory, copy_tree):
    return copy_tree(tmp_path_factory.mktemp("house"))


def test_the_direction_of_imports_holds(tree):
    code, said = lint(tree)
    assert code == 0, said


@pytest.mark.parametrize(("file", "line", "contract"), BROKEN)
def test_an_import_in_the_wrong_direction_is_noticed(tree, file, line, contract):
    target = tree / "fastbs" / file
    before = target.read_text() if target.exists() else None
    target.parent.mkdir(exist_ok=True)
    target.write_text(f"{before or ''}\n{line}\n")
    try:
        code, said = lint(tree)
    finally:
        target.unlink() if before is None else target.write_text(before)
    assert code == 1
    assert f"{contract} BROKEN" in said
