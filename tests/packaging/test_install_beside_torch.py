"""Where the interpreter has its own torch, as in NVIDIA's container, that one is used and nothing is replaced."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "requirements" / "install.py"
TORCH = "2.14.0a0+abc"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("requirements_install", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_belongs_to_torch_stays_and_comes_as_pinned_where_it_is_missing(script):
    installed = {"torch": TORCH, "nvidia-dali-cuda130": "2.3.0", "rich": "13.0", "torch-tensorrt": "2.14.0a0"}
    pins = {"torch": "2.13.0", "triton": "3.7.1", "rich": "15.0", "nvidia-dali-cuda120": "2.4.0"}
    assert script.companions(installed, pins) == [
        "nvidia-dali-cuda120==2.4.0",
        "nvidia-dali-cuda130==2.3.0",
        f"torch=={TORCH}",
        "torch-tensorrt==2.14.0a0",
        "triton==3.7.1",
    ]


def test_the_machine_s_own_constraints_have_the_last_word(script):
    own = "# of the container\nTriton==3.9.0\nnvidia_dali_cuda130 == 2.3.0 ; python_version > '3'\n"
    settled = script.constrained_names(own)
    assert settled == {"triton", "nvidia-dali-cuda130"}
    assert script.companions({"torch": TORCH}, {"triton": "3.7.1"}, settled) == [f"torch=={TORCH}"]


@pytest.mark.parametrize("present", [(), ("nvidia.dali",), ("triton", "tensorrt_rtx"), ("nvidia.dali", "triton")])
def test_a_library_known_by_its_module_is_not_asked_for_again(script, present):
    flag, project, *dali = script.missing_requirements(present, {"nvidia-dali-cuda120": "2.4.0"})
    extras = set(project[2:-1].split(","))
    assert flag == "-e"
    assert extras >= {"train", "deploy", "slurm", "report", "test"}
    assert ("kernels" in extras) == ("triton" not in present)
    assert ("rtx" in extras) == ("tensorrt_rtx" not in present)
    assert dali == ([] if "nvidia.dali" in present else ["nvidia-dali-cuda120==2.4.0"])


def make(tree, container):
    command = ["make", ".venv/installed", f"PYTHON={container.python}"]
    return subprocess.run(command, cwd=tree, env=container.environment, capture_output=True, text=True)


def test_make_uses_the_torch_of_the_machine_and_installs_no_other(tmp_path, copy_tree, container):
    tree = copy_tree(tmp_path / "a clone")
    answer = make(tree, container)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    look = "import torch, fastbs, click; print(torch.__version__, torch.__file__, fastbs.__file__, sep='\\n')"
    seen = subprocess.run([tree / ".venv/bin/python", "-c", look], cwd=tmp_path, capture_output=True, text=True)
    own = container.packages / "torch" / "__init__.py"
    assert seen.stdout.splitlines() == [container.torch, str(own), str(tree / "fastbs" / "__init__.py")], seen.stderr
    installed = {path.name.split("-")[0] for path in tree.glob(".venv/lib/python*/site-packages/*.dist-info")}
    assert installed - {"pip", "setuptools"} == {"fastbs"}
    assert "up to date" in make(tree, container).stdout


def test_a_library_in_want_of_a_driver_is_known_by_its_file(script, monkeypatch, tmp_path):
    """While an image is built there is no driver: what needs one to be imported must not be replaced unseen."""
    (tmp_path / "tensorrt.py").write_text("raise OSError('libcuda.so.1: no such file')\n")
    (tmp_path / "torch.py").write_text(f"__version__ = {TORCH!r}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert script.imported(sys.executable, ["torch", "tensorrt", "no_such_module", "no_such_module.part"]) == {
        "torch": [TORCH, str(tmp_path / "torch.py")],
        "tensorrt": ["OSError('libcuda.so.1: no such file')", str(tmp_path / "tensorrt.py")],
    }


@pytest.mark.parametrize("name", ["torch", "nvidia.dali", "tensorrt"])
def test_what_changed_on_the_way_is_an_error(script, monkeypatch, tmp_path, name):
    monkeypatch.setattr(script, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(script, "pip", lambda *arguments, environment: None)
    seen = {str(sys.executable): [TORCH, "here"], str(tmp_path / ".venv/bin/python"): ["2.15.0", "there"]}
    monkeypatch.setattr(script, "imported", lambda python, modules: {name: seen[str(python)]})
    monkeypatch.setattr(
        script.venv, "create", lambda *a, **k: (tmp_path / ".venv/lib/python3/site-packages").mkdir(parents=True)
    )
    with pytest.raises(SystemExit, match=f"{name} was 2.14.0a0.abc at here and is 2.15.0 at there"):
        script.install_beside_torch()
