"""Copies of the source tree, for tests that install, build or break it, and a machine that has a torch already."""

import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
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


@dataclass(frozen=True)
class Container:
    """An interpreter with a torch and a TensorRT of its own, as in NVIDIA's container, and all that this one has."""

    python: Path
    packages: Path  # its own
    torch: str
    environment: dict[str, str]  # to install in, without an index


@pytest.fixture
def container(tmp_path) -> Container:
    for name in ("onnxruntime", "tensorrt_rtx", "submitit", "onnxscript", "polygraphy", "pytest", "ruff", "triton"):
        try:
            version(name)
        except PackageNotFoundError:
            pytest.skip(f"{name} is not installed: without an index nothing could be added")
    root = tmp_path / "a container"
    venv.create(root, symlinks=True, with_pip=False)
    (packages,) = root.glob("lib/python*/site-packages")
    own = {"torch": "2.14.0a0+abc", "tensorrt": "10.13.0"}
    for name, its_version in own.items():
        (packages / name).mkdir()
        (packages / name / "__init__.py").write_text(f"__version__ = {its_version!r}\n")
        record = packages / f"{name}-{its_version}.dist-info"
        record.mkdir()
        (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {its_version}\n")
    (packages / "behind.pth").write_text("".join(f"{folder}\n" for folder in sys.path if folder.endswith("-packages")))
    # 0 switches isolated builds off, as pip reads that variable.
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MAKE", "MFLAGS"))}
    environment = clean | {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    return Container(root / "bin" / "python", packages, own["torch"], environment)
