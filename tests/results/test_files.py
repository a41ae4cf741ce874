import json
import os
import subprocess
import sys

import pytest

from fastbs.errors import BadInput
from fastbs.results.files import SCHEMA, read_json, write_atomic, write_json


def test_a_written_document_is_read_back(tmp_path):
    write_json(tmp_path / "a.json", {"schema": SCHEMA, "kind": "x", "value": 1})
    assert read_json(tmp_path / "a.json", "x")["value"] == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "not a readable JSON"),
        ('{"schema": 1, "kind"', "not a readable JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "not a JSON object"),
        ('{"schema": 1, "kind": "y"}', "not a fastbs x record"),
        (json.dumps({"schema": SCHEMA + 1, "kind": "x"}), "newer"),
        ('{"kind": "x"}', "schema"),
    ],
)
def test_unreadable_foreign_and_newer_documents_are_refused_by_name(tmp_path, content, says):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(BadInput, match=says) as refused:
        read_json(path, "x")
    assert str(path) in str(refused.value)


def test_a_full_disk_leaves_the_old_file_and_nothing_half_written(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    script = (
        "import resource, signal, sys; from pathlib import Path; from fastbs.results.files import write_atomic\n"
        "from fastbs.errors import BadInput\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_atomic(Path(sys.argv[1]), b'x' * 5000)\n"
        "except BadInput as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, cwd=os.getcwd())
    assert "cannot be written" in done.stdout, done.stderr
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_json_never_holds_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"value": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(BadInput, match="cannot be written"):
        write_atomic(tmp_path / "nowhere" / "a", "x")
