"""The lock file is exact and complete, and the bounds on torch take NVIDIA's alpha builds."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LINES = [line for line in (ROOT / "requirements" / "cpu.txt").read_text().splitlines() if line and line[0] != "#"]
PINS = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in LINES if "==" in line}


def named_by_the_project(extras):
    return [Requirement(line) for extra in extras for line in EXTRAS[extra]] + [
        Requirement(line) for line in PROJECT["dependencies"]
    ]


def asked_for(name, extras):
    """What an installed distribution, with these of its extras, asks for on this machine."""
    contexts = [{"extra": extra} for extra in ("", *extras)]
    for line in distribution(name).requires or []:
        wanted = Requirement(line)
        if wanted.marker is None or any(wanted.marker.evaluate(context) for context in contexts):
            yield wanted


@pytest.mark.parametrize("line", LINES)
def test_every_line_of_the_lock_file_is_one_exact_version(line):
    name, _, pinned = line.partition("==")
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)
    assert str(Version(pinned)) == pinned
    assert [other for other in LINES if other.startswith(f"{name}==")] == [line]


def test_the_extras_that_the_readme_installs_are_satisfied_by_the_lock_file_alone():
    for wanted in named_by_the_project(["train", "kernels", "deploy", "rtx", "slurm", "report", "test"]):
        assert wanted.specifier.contains(PINS[canonicalize_name(wanted.name)]), wanted


def test_whatever_a_pinned_package_needs_in_turn_is_pinned_too():
    for name, pinned in PINS.items():
        try:
            found = Version(version(name)).public
        except PackageNotFoundError:
            found = "absent"
        if found != pinned:
            pytest.skip(f"{name} is {found} here, not {pinned}: this environment was not made from the lock file")
    todo = [(name, ()) for name in PINS]
    seen = set()
    while todo:
        name, extras = todo.pop()
        for wanted in asked_for(name, extras):
            needed = canonicalize_name(wanted.name)
            if name == "torch" and needed.startswith(("cuda-", "nvidia-")):
                continue  # a CUDA build names the exact versions of its libraries itself
            assert needed in PINS, f"{name} needs {wanted}, which is not in cpu.txt"
            assert wanted.specifier.contains(PINS[needed], prereleases=True), f"{name} needs {wanted}"
            step = (needed, tuple(sorted(wanted.extras)))
            if step not in seen:
                seen.add(step)
                todo.append(step)


@pytest.mark.parametrize("wanted", [r for r in named_by_the_project(EXTRAS) if r.name == "torch"], ids=str)
def test_every_bound_on_torch_takes_releases_and_alpha_builds_from_2_11_on(wanted):
    taken = ["2.11.0a0+b4e4ee81d3", "2.11.0", "2.13.0+cpu", "2.14.0a0+abc", "2.15.1"]
    assert [v for v in taken if not wanted.specifier.contains(v, prereleases=True)] == []
    assert not wanted.specifier.contains("2.10.2", prereleases=True)
