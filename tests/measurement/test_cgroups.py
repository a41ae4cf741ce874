from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.measurement.cgroups import cpu_quota, memory_limit
from fastbs.measurement.threads import available_cores

V1 = "4:memory:/a/b\n1:cpu,cpuacct:/a/b\n0::/\n"
V1_UNLIMITED = "9223372036854771712"


@pytest.fixture
def machine(tmp_path):
    """machine(groups, {path: content}) makes a root whose process is in these groups."""

    def make(groups, files):
        for path, text in {"proc/self/cgroup": groups, **files}.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(f"{text}\n")
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/", {}, None),
        ("0::/", {"sys/fs/cgroup/cpu.max": "150000 100000"}, 1.5),
        ("0::/", {"sys/fs/cgroup/cpu.max": "max 100000"}, None),
        ("0::/a/b", {"sys/fs/cgroup/a/b/cpu.max": "max 100000", "sys/fs/cgroup/a/cpu.max": "200000 100000"}, 2.0),
        ("0::/a", {"sys/fs/cgroup/a/cpu.max": "400000 100000", "sys/fs/cgroup/cpu.max": "300000 100000"}, 3.0),
        ("0::/of/the/host", {"sys/fs/cgroup/cpu.max": "100000 50000"}, 2.0),
        (V1, {"sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us": -1, "sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us": 100000}, None),
        (V1, {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": 50000, "sys/fs/cgroup/cpu/cpu.cfs_period_us": 100000}, 0.5),
        (V1, {"sys/fs/cgroup/memory/a/cpu.cfs_quota_us": 1, "sys/fs/cgroup/memory/a/cpu.cfs_period_us": 1}, None),
    ],
)
def test_the_narrowest_cpu_limit_binds(machine, groups, files, cores):
    assert cpu_quota(machine(groups, files)) == cores


@pytest.mark.parametrize(
    ("groups", "files", "limit"),
    [
        ("0::/", {"sys/fs/cgroup/memory.max": "max"}, None),
        ("0::/a", {"sys/fs/cgroup/a/memory.max": 3 << 30, "sys/fs/cgroup/memory.max": 2 << 30}, 2 << 30),
        (V1, {"sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": V1_UNLIMITED}, None),
        (V1, {"sys/fs/cgroup/memory/a/memory.limit_in_bytes": 1 << 30}, 1 << 30),
        (V1, {"sys/fs/cgroup/cpu/a/memory.limit_in_bytes": 1 << 30}, None),
        ("2:memory:/m\n1:cpu:/c", {"sys/fs/cgroup/memory/c/memory.limit_in_bytes": 1 << 30}, None),
    ],
)
def test_the_narrowest_memory_limit_binds(machine, groups, files, limit):
    assert memory_limit(machine(groups, files)) == limit


def test_no_proc_means_no_limit(tmp_path):
    assert (cpu_quota(tmp_path), memory_limit(tmp_path)) == (None, None)


@given(quota=st.none() | st.floats(0.01, 64), allowed=st.integers(1, 32))
def test_available_cores_are_at_least_one_and_within_affinity_and_quota(quota, allowed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastbs.measurement.threads.cpu_quota", lambda root: quota)
        patch.setattr(os, "sched_getaffinity", lambda pid: set(range(allowed)))
        cores = available_cores()
    assert 1 <= cores <= allowed
    if quota is not None:
        assert cores <= max(1, quota)
        assert cores == allowed or cores + 1 > quota
    else:
        assert cores == allowed
