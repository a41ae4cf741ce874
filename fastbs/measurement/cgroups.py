"""What a container may use of its machine: CPU time and memory, in cgroups v1 and v2."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

UNLIMITED = 1 << 60  # v1 writes "no limit" as the largest page-aligned number


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Cores' worth of CPU time that this process may use, None without a limit. `root` holds proc/ and sys/."""
    quotas = []
    for text in _settings(root, "cpu", "cpu.max"):
        quota, _, period = text.partition(" ")
        if quota != "max":
            quotas.append(int(quota) / int(period))
    quota_texts, periods = _settings(root, "cpu", v1="cpu.cfs_quota_us"), _settings(root, "cpu", v1="cpu.cfs_period_us")
    quotas += [int(quota) / int(period) for quota, period in zip(quota_texts, periods, strict=True) if int(quota) > 0]
    return min(quotas, default=None)


def memory_limit(root: Path = Path("/")) -> int | None:
    """Bytes that this process and its container may hold, None without a limit."""
    texts = _settings(root, "memory", "memory.max", "memory.limit_in_bytes")
    limits = [int(text) for text in texts if text != "max"]
    return min((limit for limit in limits if limit < UNLIMITED), default=None)


def _settings(root: Path, controller: str, v2: str | None = None, v1: str | None = None) -> list[str]:
    """What the named files say for our group and each that contains it; the narrowest of them binds.

    Inside a container the group's path may be the host's, and not exist: then the mount's own files say it.
    """
    texts = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        base, name = root / "sys/fs/cgroup", v2
        if controllers:
            base, name = base / controller, v1
        if name is None or (controllers and controller not in controllers.split(",")):
            continue
        group = PurePosixPath(path)
        found = (_read(base / str(level).lstrip("/") / name) for level in (group, *group.parents))
        texts += [text for text in found if text]
    return texts


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
