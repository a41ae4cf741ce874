from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import pytest

from fastbs.measurement import libraries
from fastbs.measurement.allocator import allocator
from fastbs.measurement.cpu import cpu
from fastbs.measurement.libraries import LIBRARIES, library_conflicts, library_versions, missing
from fastbs.measurement.machine import machine
from fastbs.measurement.source_tree import source_tree


@pytest.fixture
def installed(monkeypatch):
    """installed({distribution: version}): nothing else is there."""

    def make(versions):
        def version(name):
            if name not in versions:
                raise PackageNotFoundError(name)
            return versions[name]

        monkeypatch.setattr(libraries, "version", version)

    return make


def test_the_block_survives_json_and_keeps_its_order():
    block = machine()
    assert json.loads(json.dumps(block)) == block
    assert list(block) == ["gpu", "cpu", "software", "warnings"]
    assert list(machine()["software"]) == list(block["software"])


def test_without_torch_and_nvml_the_same_keys_are_there(monkeypatch):
    full = machine()
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    bare = machine()
    for part in ("gpu", "cpu", "software"):
        assert list(bare[part]) == list(full[part])
    assert bare["gpu"]["devices"] == []
    assert bare["software"]["cudnn_benchmark"] is None


def test_cards_that_torch_cannot_use_are_worth_a_warning(monkeypatch):
    nvml = SimpleNamespace(NVMLError=OSError, nvmlInit=lambda: None, nvmlDeviceGetCount=lambda: 3)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert any(text.startswith("3 GPU(s) are here, and torch") for text in machine()["warnings"])


def test_two_dali_distributions_are_flagged_and_one_is_not(installed):
    installed({"nvidia-dali-cuda120": "2.4.0", "nvidia-dali-cuda130": "2.4.0"})
    (warning,) = library_conflicts()
    assert "nvidia-dali-cuda120, nvidia-dali-cuda130" in warning
    installed({"nvidia-dali-cuda130": "2.4.0"})
    assert library_conflicts() == []
    assert library_versions()["dali"] == "2.4.0"


def test_a_library_is_either_versioned_or_missing(installed):
    installed({"torch": "2.13.0", "nvidia-dali-cuda130": "2.4.0"})
    absent = {entry["name"] for entry in missing()}
    assert absent == {name for name, version in library_versions().items() if version is None}
    assert absent == {library.name for library in LIBRARIES} - {"torch", "dali"}
    assert {"name": "timm", "brings": "models as timm:NAME", "install": "pip install 'fastbs[peers]'"} in missing()


@pytest.fixture
def server(tmp_path):
    """A root of an ARM-like machine with two packages of two cores of two threads, and jemalloc preloaded."""
    files = {
        "proc/cpuinfo": "processor : 0\nmodel name\t: Some CPU @ 2.0GHz\n\nprocessor : 1\nmodel name\t: Other\n",
        "proc/meminfo": "MemTotal:       1024 kB\nMemFree: 3 kB\n",
        "proc/self/maps": "7f00-7f01 r-xp 0 08:01 1 /usr/lib/x86_64-linux-gnu/libjemalloc.so.2\n",
        "proc/self/environ": "HOME=/root\0MALLOC_CONF=dirty_decay_ms:-1\0MALLOC_ARENA_MAX=2\0MALLOC=1\0",
    }
    for thread in range(8):
        topology = f"sys/devices/system/cpu/cpu{thread}/topology"
        files |= {f"{topology}/physical_package_id": f"{thread // 4}\n", f"{topology}/core_id": f"{thread % 2}\n"}
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def test_cores_are_counted_once_however_many_threads_they_have(server):
    found = cpu(server)
    assert found["physical_cores"] == 4
    assert (found["model"], found["memory_bytes"]) == ("Some CPU @ 2.0GHz", 1024 * 1024)


def test_what_the_kernel_does_not_tell_is_none(tmp_path):
    found = cpu(tmp_path)
    assert (found["model"], found["physical_cores"], found["memory_bytes"]) == (None, None, None)
    assert found["allocator"]["name"] is None


def test_a_preloaded_allocator_is_named_with_its_settings(server):
    found = allocator(server)
    assert found["name"] == "jemalloc"
    assert found["settings"] == {"MALLOC": "1", "MALLOC_ARENA_MAX": "2", "MALLOC_CONF": "dirty_decay_ms:-1"}


def test_only_settings_that_the_process_was_started_with_are_in_force(monkeypatch):
    monkeypatch.setenv("MALLOC_SET_TOO_LATE_", "1")
    assert "MALLOC_SET_TOO_LATE_" not in allocator()["settings"]
    code = "from fastbs.measurement.allocator import allocator; print(allocator()['settings'])"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'MALLOC_SET_TOO_LATE_': '1'" in child.stdout


def test_code_that_differs_from_its_commit_is_dirty_and_other_files_are_not(tmp_path):
    def git(*arguments):
        identity = ("-c", "user.name=n", "-c", "user.email=e@example.org")
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True)

    assert source_tree(tmp_path) == {"commit": None, "dirty": None}
    git("init")
    assert source_tree(tmp_path) == {"commit": None, "dirty": False}
    (tmp_path / "fastbs").mkdir()
    (tmp_path / "fastbs" / "a.py").write_text("1")
    git("add", ".")
    git("commit", "-m", "first")
    (tmp_path / "runs.txt").write_text("not code")
    found = source_tree(tmp_path)
    assert len(found["commit"]) == 40
    assert found["dirty"] is False
    (tmp_path / "fastbs" / "a.py").write_text("2")
    assert source_tree(tmp_path) == {"commit": found["commit"], "dirty": True}


def test_a_checkout_around_the_installation_is_not_ours(tmp_path):
    subprocess.run(["git", "init", tmp_path], check=True, capture_output=True)
    site_packages = tmp_path / ".venv" / "site-packages"
    site_packages.mkdir(parents=True)
    assert source_tree(site_packages) == {"commit": None, "dirty": None}
