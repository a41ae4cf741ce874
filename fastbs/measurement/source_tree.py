"""Which source is running."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CODE = ("fastbs", "kernels", "bench", "pyproject.toml")  # what else lies in the folder changes no number


def source_tree(root: Path = ROOT, code: Sequence[str] = CODE) -> dict[str, Any]:
    """commit, and dirty: whether `code` (paths; none: all) differs from it; both None unless `root` is a checkout."""
    commit = changes = None
    if (root / ".git").exists():  # not a checkout around the environment that fastbs is installed in
        commit = _git(root, "rev-parse", "HEAD")
        changes = _git(root, "status", "--porcelain", "--", *code)
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints; None where there is no git, or it refuses, as for a folder of another owner."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},  # only look
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
