"""No file names a path of one machine or the host of a registry: every clone installs from where its owner says."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The brackets keep this file from finding itself.
FORBIDDEN = re.compile(
    r"(?<![\w.])/(?:[w]ork|[f]arm|[h]ome|[U]sers)/\w"
    r"|[i]ndex[-_]url|[f]ind[-_]links|[p]ypi\.org|[p]ythonhosted|[d]ownload\.pytorch"
)


def test_no_file_names_a_path_of_one_machine_or_the_host_of_a_registry(tracked):
    found = []
    for name in tracked:
        if (ROOT / name).is_symlink():
            continue
        text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
        found += [f"{name}:{n}: {line}" for n, line in enumerate(text.splitlines(), 1) if FORBIDDEN.search(line)]
    assert found == []


@pytest.mark.parametrize("parts", ["/w ork/main", "'/f arm/x", "/h ome/me/data", "--i ndex-url", "https://p ypi.org/x"])
def test_such_a_line_would_be_found(parts):
    assert FORBIDDEN.search(f"see {parts.replace(' ', '')}")


@pytest.mark.parametrize("line", ["a network/one path", "../work/x", "runs/home/x", "an index"])
def test_an_innocent_line_is_not(line):
    assert not FORBIDDEN.search(line)
