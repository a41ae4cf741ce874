"""Copies of the source tree, for tests that install, build or break it."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def tracked() -> list[str]:
    """Every file of the repository, relative to its root, whether committed yet or not; a symlink is one entry."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        answer = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("this is not a git clone: which files belong to the repository cannot be known")
    return sorted(
        name for name in set(answer.stdout.split("\0")) if name and (ROOT / name).is_symlink() | (ROOT / name).is_file()
    )


@pytest.fixture(scope="session")
def copy_tree(tracked):
    """copy_tree(target) copies the repository's files, symlinks as symlinks, and returns target."""

    def copy(target: Path) -> Path:
        for name in tracked:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
        return target

    return copy
