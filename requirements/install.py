"""Make .venv and install fastbs in it: with the tested pins, or on top of a torch that the interpreter already has.

    python3 requirements/install.py        (`make test` and `make demo` call it)

Without a torch, this is `pip install -r requirements/cpu.txt && pip install -e '.[deploy,rtx,slurm,report,test]'`.
Where the calling interpreter has one, as in NVIDIA's container, .venv sees that interpreter's packages, gets only what
is missing, and the end proves that torch, DALI and TensorRT are still the same.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import site
import subprocess
import sys
import venv
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PINS = ROOT / "requirements" / "cpu.txt"
EXTRAS = "deploy,rtx,slurm,report,test"

# Modules: those that the machine has must stay as they are.
KEPT = ("torch", "triton", "nvidia.dali", "tensorrt", "torch_tensorrt")

# Built against one torch, one CUDA or one card: replacing any of them breaks what the machine came with.
COMPANION = re.compile(r"(torch|pytorch|triton|nvidia|cuda|cupy|tensorrt|numpy$|apex$|flash-attn|transformer-engine)")


def normal(name: str) -> str:
    """A distribution's name as every tool compares it: `Tensorrt_RTX` is `tensorrt-rtx`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_pins(text: str) -> dict[str, str]:
    """Name to version from the lines `name==version` of a lock file."""
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    return {normal(name): version for name, version in (line.split("==") for line in lines if line)}


def constrained_names(text: str) -> set[str]:
    """The distributions that a constraint file speaks of."""
    words = (re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line) for line in text.splitlines())
    return {normal(word[0]) for word in words if word}


def companions(installed: Mapping[str, str], pins: Mapping[str, str], settled: Collection[str] = ()) -> list[str]:
    """Constraints, one per line: what belongs to torch stays as installed, and comes as pinned where it is missing.

    `settled` are names that the machine's own constraint file speaks of: it has the last word.
    """
    versions = {name: v for name, v in {**pins, **installed}.items() if COMPANION.match(name) and name not in settled}
    return [f"{name}=={version}" for name, version in sorted(versions.items())]


def missing_requirements(modules: Iterable[str], pins: Mapping[str, str]) -> list[str]:
    """What to ask pip for beside a torch of the machine, given which modules can be imported already.

    DALI, Triton and TensorRT-RTX each go by several distribution names, so the module decides, not the name.
    """
    extras = ["train", *EXTRAS.split(",")]
    if "tensorrt_rtx" in modules:
        extras.remove("rtx")
    if "triton" not in modules:
        extras.append("kernels")
    dali = [] if "nvidia.dali" in modules else [f"nvidia-dali-cuda120=={pins['nvidia-dali-cuda120']}"]
    return ["-e", f".[{','.join(extras)}]", *dali]


def importable(modules: Iterable[str]) -> list[str]:
    """Those of `modules` that this interpreter finds, without importing more than their parents."""

    def found(name: str) -> bool:
        parent = name.rpartition(".")[0]
        return (not parent or found(parent)) and importlib.util.find_spec(name) is not None

    return [name for name in modules if found(name)]


def imported(python: Path | str, modules: Iterable[str]) -> dict[str, list[str]]:
    """[version, file] of those of `modules` that `python` has.

    One that cannot be imported, as where an image is built and no driver is there yet, is known by its file and error.
    """
    code = """if True:
        import importlib.util, json, sys
        found = {}
        for name in sys.argv[1:]:
            try:
                spec = importlib.util.find_spec(name)
            except ModuleNotFoundError:  # nor is there what it would be a part of
                spec = None
            if spec is None or spec.origin is None:
                continue
            try:
                version = importlib.import_module(name).__version__
            except Exception as error:
                version = repr(error)
            found[name] = [version, spec.origin]
        print(json.dumps(found))
    """
    command = [str(python), "-c", code, *modules]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, list[str]] = json.loads(answer.stdout.splitlines()[-1])
    return found


def installed_versions() -> dict[str, str]:
    """Name to version of every distribution that this interpreter sees; the first on the path counts."""
    seen = [(d.metadata["Name"], d.version) for d in importlib.metadata.distributions()]
    return {normal(name): version for name, version in reversed(seen) if name}


def inherit() -> None:
    """Let .venv see this interpreter's packages also when it lives in a venv: --system-site-packages skips that one."""
    folders = "; ".join(f"site.addsitedir({folder!r})" for folder in site.getsitepackages())
    (packages,) = VENV.glob("lib/python*/site-packages")
    (packages / "inherited.pth").write_text(f"import site; {folders}\n")


def pip(*arguments: str, environment: Mapping[str, str] | None = None) -> None:
    """Run pip of .venv in the repository's root."""
    subprocess.run([VENV / "bin" / "python", "-m", "pip", "install", *arguments], check=True, cwd=ROOT, env=environment)


def install_pinned() -> None:
    """A machine without torch: exactly the versions of cpu.txt."""
    venv.create(VENV, with_pip=True, symlinks=True)
    pip("-r", str(PINS))
    pip("-e", f".[{EXTRAS}]")


def install_beside_torch() -> None:
    """A machine with its own torch: what is missing and nothing else, under its own constraints and ours."""
    before = imported(sys.executable, KEPT)
    # The interpreter's own pip is visible and serves; another may bring an old setuptools that hides the machine's.
    venv.create(VENV, with_pip=not importable(["pip"]), symlinks=True, system_site_packages=True)
    if sys.prefix != sys.base_prefix:
        inherit()
    # Constraints go to the command line, because older pips apply the variable to isolated builds too.
    environment = dict(os.environ)
    own = environment.pop("PIP_CONSTRAINT", "").split()
    settled = {name for file in own for name in constrained_names(Path(file).read_text())}
    pins = read_pins(PINS.read_text())
    kept = VENV / "kept.txt"
    kept.write_text("\n".join(companions(installed_versions(), pins, settled)) + "\n")
    options = [word for file in [*own, str(kept)] for word in ("-c", file)]
    wanted = missing_requirements(importable(["nvidia.dali", "triton", "tensorrt_rtx"]), pins)
    pip(*options, *wanted, environment=environment)
    after = imported(VENV / "bin" / "python", KEPT)
    for name, seen in before.items():
        if (there := after.get(name)) != seen:
            was, now = " at ".join(seen), " at ".join(there or ["gone"])
            sys.exit(
                f"install: {name} was {was} and is {now}; the way out: make clean, and report it if it comes again"
            )


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - this script is where an older Python is told so
        sys.exit(f"install: Python {sys.version.split()[0]} is too old; the way out: make test PYTHON=python3.11")
    try:
        install_beside_torch() if importable(["torch"]) else install_pinned()
    except subprocess.CalledProcessError as error:
        sys.exit(f"install: failed: {' '.join(map(str, error.cmd))}")


if __name__ == "__main__":
    main()
