"""The code of a git ref in a folder of its own: what the ref holds, nothing left behind, one line for a wrong one."""

import os
import subprocess

import pytest

from fastbs.ab.worktree import HERE, checked_out
from fastbs.errors import BadInput


def git(folder, *arguments):
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(["git", *author, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def state(repository):
    """All that a comparison must leave as it was."""
    asked = (
        ["status", "--porcelain"],
        ["worktree", "list"],
        ["for-each-ref"],
        ["rev-parse", "HEAD"],
        ["stash", "list"],
    )
    return [git(repository, *arguments) for arguments in asked]


@pytest.fixture
def repository(tmp_path):
    """Two commits and a change that is not committed, in a folder with a space in its name."""
    folder = tmp_path / "a project"
    (folder / "nets").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    for text in ("one", "two"):
        (folder / "nets" / "net.py").write_text(text)
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", text)
        git(folder, "tag", text)
    (folder / "later").mkdir()
    (folder / "later" / "new.py").write_text("not committed")
    (folder / "nets" / "net.py").write_text("three")
    return folder


@pytest.mark.parametrize(("ref", "text"), [("HEAD~1", "one"), ("one", "one"), ("main", "two"), (HERE, "three")])
def test_a_ref_is_what_it_holds_and_a_dot_is_what_lies_here(repository, ref, text):
    before = state(repository)
    with checked_out(ref, repository) as tree:
        assert (tree.folder / "nets" / "net.py").read_text() == text
        assert (tree.folder / "later").exists() == tree.dirty == (ref == HERE)
        assert (tree.folder == repository) == (ref == HERE)
        assert tree.commit == git(repository, "rev-parse", "HEAD" if ref == HERE else ref).strip()
    assert state(repository) == before


def test_a_commit_is_found_by_its_hash(repository):
    with checked_out(git(repository, "rev-parse", "--short", "one").strip(), repository) as tree:
        assert (tree.folder / "nets" / "net.py").read_text() == "one"


def test_it_is_the_same_folder_of_the_other_tree(repository):
    with checked_out("one", repository / "nets") as tree:
        assert tree.folder.name == "nets" and (tree.folder / "net.py").read_text() == "one"


def test_two_trees_of_one_repository_stand_side_by_side(repository):
    before = state(repository)
    with checked_out("one", repository) as base, checked_out("one", repository) as head:
        assert base.folder != head.folder and base.commit == head.commit
        assert all((tree.folder / "nets" / "net.py").read_text() == "one" for tree in (base, head))
    assert state(repository) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_it_is_gone_whatever_happened_inside(repository, error):
    before = state(repository)
    with pytest.raises(error), checked_out("one", repository) as tree:
        (tree.folder / "nets" / "net.py").write_text("changed by whoever worked there")
        (tree.folder / "left.txt").write_text("left lying about")
        raise error
    assert not tree.folder.parent.exists()
    assert state(repository) == before


def test_it_works_from_a_worktree_of_the_users_own(repository, tmp_path):
    git(repository, "worktree", "add", "-q", "--detach", str(tmp_path / "mine"), "two")
    before = state(repository)
    with checked_out("one", tmp_path / "mine") as tree:
        assert (tree.folder / "nets" / "net.py").read_text() == "one"
    assert state(repository) == before


@pytest.mark.parametrize("ref", ["nowhere", "--help", "-b", "", "one..two", "main:nets/net.py", "a\nb"])
def test_what_is_no_commit_is_refused_in_one_line(repository, ref):
    before = state(repository)
    with pytest.raises(BadInput, match="no commit of .* has that name"), checked_out(ref, repository):
        pass
    assert state(repository) == before


def test_a_folder_that_the_commit_lacks_is_refused_by_name_and_nothing_stays(repository):
    before = state(repository)
    with pytest.raises(BadInput, match="one: has no folder later"), checked_out("one", repository / "later"):
        pass
    assert state(repository) == before


def test_outside_a_repository_only_the_dot_works(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with checked_out(HERE, tmp_path) as tree:
        assert (tree.folder, tree.commit, tree.dirty) == (tmp_path, None, None)
    with pytest.raises(BadInput, match="is in no git repository"), checked_out("main", tmp_path):
        pass


def test_without_git_only_the_dot_works(repository, monkeypatch):
    monkeypatch.setenv("PATH", os.devnull)
    with checked_out(HERE, repository):
        pass
    with pytest.raises(BadInput, match="git: cannot be run"), checked_out("one", repository):
        pass
