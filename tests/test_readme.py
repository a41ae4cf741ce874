"""Every command of the README works: `make` ones are CI's, all others run here, in order, in one folder."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
COMMANDS = [line.removeprefix("$ ") for block in BLOCKS for line in block.splitlines() if line.startswith("$ ")]


def test_the_readme_has_commands_and_ci_runs_those_of_make():
    made = [command for command in COMMANDS if command.startswith("make ")]
    assert made == ["make demo", "make test"]
    assert set(made) <= set((ROOT / ".ci" / "run").read_text().splitlines())


def test_commands_that_stand_in_the_text_name_verbs_and_options_that_exist():
    text = (ROOT / "README.md").read_text()
    helps = [
        subprocess.run([sys.executable, "-m", "fastbs", verb, "--help"], capture_output=True, text=True, check=True)
        for verb in ("train", "sweep", "bench", "export", "check", "compare", "ab", "calibrate", "advise", "profile")
    ]
    known = "".join(help.stdout for help in helps)
    options = set(re.findall(r"`(--[a-z-]+)", text)) - {"--help"}
    assert options and all(option in known for option in options), options


def on_one_core():
    """Let a command see one core: how fast it is does not matter here, and cores may be busy."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


@pytest.mark.slow
def test_every_command_of_the_readme_ends_well(tmp_path):
    for command in COMMANDS:
        if command.startswith("make "):
            continue
        words = shlex.split(command)
        assert words[0] in ("fastbs", "python"), command
        words = [sys.executable, *(["-m", "fastbs"] if words[0] == "fastbs" else []), *words[1:]]
        env = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env=env, preexec_fn=on_one_core)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert done.stdout or done.stderr
