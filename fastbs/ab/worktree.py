"""The code of a git ref in a folder of its own, for as long as it is needed."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastbs.errors import BadInput
from fastbs.measurement.source_tree import source_tree

HERE = "."  # stands for the working tree as it is, changes that are not committed included


@dataclass(frozen=True)
class Tree:
    """A folder, and the commit of the code around it; None where there is no repository."""

    folder: Path
    commit: str | None
    dirty: bool | None


@contextmanager
def checked_out(ref: str, folder: Path) -> Iterator[Tree]:
    """A worktree of the repository around `folder`, at `ref`; yields the same folder in it. HERE yields `folder`.

    It is gone afterwards, whatever happens. BadInput when there is no repository, or no such ref in it.
    """
    if ref == HERE:
        source = source_tree(_around(folder), code=())
        yield Tree(folder, source["commit"], source["dirty"])
        return
    top = Path(_git(folder, "rev-parse", "--show-toplevel", refused=f"{ref}: {folder} is in no git repository"))
    unknown = f"{ref}: no commit of {top} has that name; see git branch and git log"
    commit = _git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}", refused=unknown)
    with tempfile.TemporaryDirectory(prefix="fastbs-ab-") as scratch:
        tree = Path(scratch).resolve() / "tree"
        try:
            _git(top, "worktree", "add", "--detach", str(tree), commit, refused=f"{ref}: git cannot check it out")
            inside = tree / folder.resolve().relative_to(top.resolve())
            if not inside.is_dir():
                raise BadInput(f"{ref}: has no folder {inside.relative_to(tree)}; call from one that both sides have")
            yield Tree(inside, commit, dirty=False)
        finally:
            for arguments in (("remove", "--force", str(tree)), ("prune",)):
                subprocess.run(["git", "-C", str(top), "worktree", *arguments], capture_output=True)


def _around(folder: Path) -> Path:
    """The root of the repository that `folder` lies in, itself where there is none."""
    return next((at for at in (folder, *folder.parents) if (at / ".git").exists()), folder)


def _git(folder: Path, *arguments: str, refused: str) -> str:
    """What git prints; BadInput with `refused` and git's own reason where it fails."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True)
    except OSError as error:
        raise BadInput(f"git: cannot be run ({error.strerror})") from error
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()
        raise BadInput(refused + (f" ({reason[-1]})" if reason else ""))
    return done.stdout.strip()
