"""Whatever way fastbs is installed, its kernels and benches are its own, and its declared dependencies are enough."""

import json
import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

LOOK = """
import importlib, importlib.util, json, pathlib, sys
names = ("fastbs", "fastbs.kernels", "fastbs.bench", "fastbs.cli", "fastbs.config")
for name in set(names) - {"fastbs.kernels"}:  # which needs torch
    importlib.import_module(name)
print(json.dumps({
    "files": {name: importlib.util.find_spec(name).origin for name in names},
    "stray": [name for name in ("kernels", "bench", "tests", "requirements") if importlib.util.find_spec(name)],
    "presets": sorted(p.name for p in (pathlib.Path(sys.modules["fastbs"].__file__).parent / "presets").iterdir()),
    "all": sorted(m.__file__ for n, m in sys.modules.items() if n.split(".")[0] == "fastbs" and m.__file__),
}))
"""
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_CONSTRAINT"))}
PIP = [sys.executable, "-m", "pip"]
OFFLINE = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation"]


def run(*command, cwd, **environment):
    answer = subprocess.run(list(map(str, command)), cwd=cwd, env=CLEAN | environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def look(python, cwd, **environment):
    return json.loads(run(python, "-c", LOOK, cwd=cwd, **environment))


class Place:
    """A throwaway venv that sees, besides what is installed into it, only what pyproject.toml declares."""

    def __init__(self, root: Path, requirements: list[str]):
        venv.create(root / "venv", symlinks=True, with_pip=False)
        self.python = root / "venv" / "bin" / "python"
        (self.packages,) = (root / "venv").glob("lib/python*/site-packages")
        declared = root / "declared"
        declared.mkdir()
        for name in requirements:
            files = distribution(name).files or []
            for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
                (declared / top).symlink_to(Path(distribution(name).locate_file(top)).resolve())
        (self.packages / "declared.pth").write_text(f"{declared}\n")
        self.elsewhere = root / "elsewhere"
        self.elsewhere.mkdir()

    def install(self, *what):
        run(*PIP, "--python", self.python, "install", *OFFLINE, *what, cwd=self.elsewhere)
        return self


@pytest.fixture
def place(tmp_path, copy_tree):
    project = tomllib.loads((copy_tree(tmp_path / "tree") / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    return Place(tmp_path, [Requirement(line).name for line in wanted])


@pytest.fixture
def tree(tmp_path, place):
    return tmp_path / "tree"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, copy_tree):
    root = tmp_path_factory.mktemp("wheel")
    run(*PIP, "wheel", *OFFLINE, "--wheel-dir", root / "dist", copy_tree(root / "tree"), cwd=root)
    (file,) = (root / "dist").glob("*.whl")
    return file


@pytest.fixture(scope="module")
def sdist(tmp_path_factory, copy_tree):
    root = tmp_path_factory.mktemp("sdist")
    build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    run(sys.executable, "-c", build, root, cwd=copy_tree(root / "tree"))
    (file,) = root.glob("*.tar.gz")
    return file


def folders(seen):
    """Where the package, its kernels and its benches lie: all three must follow from the first."""
    home = Path(seen["files"]["fastbs"]).parent
    assert seen["files"]["fastbs.kernels"] == str(home / "kernels" / "__init__.py")
    assert seen["files"]["fastbs.bench"] == str(home / "bench" / "__init__.py")
    assert all(Path(file).is_relative_to(home) for file in seen["all"])
    assert seen["presets"] == ["demo.toml", "post.toml"]
    return home


def check_copied(place, tree):
    """From elsewhere the installed copy is imported, whole; from the repository's root the source tree, whole."""
    seen = look(place.python, place.elsewhere)
    assert folders(seen) == place.packages / "fastbs"
    assert seen["stray"] == []
    assert folders(look(place.python, tree)) == tree / "fastbs"


def test_a_wheel_holds_every_module_once_and_nothing_else(wheel, tracked):
    modules = {
        name if name.startswith("fastbs/") else f"fastbs/{name}"
        for name in tracked
        if name.endswith(".py") and name.startswith(("fastbs/", "kernels/", "bench/"))
    }
    data = {name for name in tracked if name.startswith("fastbs/presets/")} | {"fastbs/py.typed"}
    with zipfile.ZipFile(wheel) as archive:
        held = [name for name in archive.namelist() if ".dist-info/" not in name]
    assert sorted(held) == sorted(modules | data)


def test_a_wheel_works_from_the_repository_root_and_from_elsewhere(place, tree, wheel):
    check_copied(place.install(wheel), tree)


def test_an_sdist_works_from_the_repository_root_and_from_elsewhere(place, tree, sdist):
    check_copied(place.install(sdist), tree)


def test_a_plain_install_works_from_the_repository_root_and_from_elsewhere(place, tree):
    check_copied(place.install(tree), tree)


def test_an_editable_install_is_the_source_tree_from_everywhere(place, tree):
    place.install("-e", tree)
    for folder in (place.elsewhere, tree):
        assert folders(look(place.python, folder)) == tree / "fastbs"
    assert look(place.python, place.elsewhere)["stray"] == []


def test_a_second_worktree_on_the_path_imports_only_its_own_code(place, tree, tmp_path, copy_tree):
    second = copy_tree(tmp_path / "second worktree")
    place.install("-e", tree)
    for folder in (place.elsewhere, second):
        assert folders(look(place.python, folder, PYTHONPATH=str(second))) == second / "fastbs"


def test_the_command_and_the_module_answer_with_the_declared_dependencies_alone(place, wheel):
    place.install(wheel)
    by_script = run(place.python.with_name("fastbs"), "--help", cwd=place.elsewhere)
    by_module = run(place.python, "-m", "fastbs", "--help", cwd=place.elsewhere)
    assert by_script == by_module
    assert "sweep" in by_module
