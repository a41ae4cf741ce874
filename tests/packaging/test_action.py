"""The action and the example workflows: what they name exists, they may do only what they need, their scripts work."""

import itertools
import os
import re
import subprocess
from pathlib import Path

import pytest

from fastbs.cli.compare import compare

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parents[2]
ACTION = ROOT / ".github" / "actions" / "compare" / "action.yml"
EXAMPLES = ROOT / "docs" / "pull-requests"
MEASURE, COMMENT = EXAMPLES / "bench-pr.yml", EXAMPLES / "bench-comment.yml"
WORKFLOWS = [*sorted((ROOT / ".github" / "workflows").glob("*.yml")), MEASURE, COMMENT]
NAMES = {path: path.name for path in [ACTION, *WORKFLOWS]}


def load(path):
    found = yaml.safe_load(path.read_text())
    return found | ({"on": found.pop(True)} if True in found else {})  # YAML 1.1 reads the key `on` as true


def action_steps():
    return {step["name"]: step for step in load(ACTION)["runs"]["steps"]}


def jobs(path):
    return load(path)["jobs"].values()


def steps(path):
    return action_steps().values() if path == ACTION else list(itertools.chain(*(job["steps"] for job in jobs(path))))


def expressions(path):
    found = re.findall(r"\$\{\{(.*?)\}\}", path.read_text())
    return found + [str(step["if"]) for step in steps(path) if "if" in step]


def test_every_input_that_is_used_is_declared_and_every_declared_one_is_used():
    declared = set(load(ACTION)["inputs"])
    assert declared == {name for text in expressions(ACTION) for name in re.findall(r"\binputs\.([\w-]+)", text)}
    assert {"base", "head", "gate", "key", "fail-on-cannot-tell", "python"} <= declared


def test_every_declared_input_says_what_it_is_and_only_the_two_sides_must_be_given():
    inputs = load(ACTION)["inputs"]
    assert all(given["description"] for given in inputs.values())
    assert [name for name, given in inputs.items() if given.get("required")] == ["base", "head"]
    assert all(isinstance(given["default"], str) for given in inputs.values() if "default" in given)


def test_the_example_gives_the_action_inputs_that_it_has():
    given = [step["with"] for step in steps(COMMENT) if "actions/compare" in step.get("uses", "")]
    assert len(given) == 1 and {"base", "head"} <= set(given[0]) <= set(load(ACTION)["inputs"])


@pytest.mark.parametrize("path", [ACTION, MEASURE, COMMENT], ids=NAMES.get)
def test_every_step_that_is_referred_to_exists_and_gives_that_output(path):
    known = {step["id"]: step["run"] for step in steps(path) if "id" in step}
    outputs = [str(given["value"]) for given in load(path).get("outputs", {}).values()]
    for identity, output in re.findall(r"steps\.([\w-]+)\.outputs\.([\w-]+)", " ".join([*expressions(path), *outputs])):
        assert f"{output}=" in known[identity]


@pytest.mark.parametrize("path", [ACTION, *WORKFLOWS], ids=NAMES.get)
def test_no_expression_stands_in_a_script(path):
    """An expression is pasted into the script as it is: a branch called $(rm -rf .) would be run."""
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


def test_the_options_that_the_action_passes_exist():
    known = {option for parameter in compare.params for option in parameter.opts}
    passed = set(re.findall(r"--[a-z][\w-]+", action_steps()["Compare"]["run"]))
    assert {"--format", "--key", "--gate", "--fail-on-cannot-tell"} == passed <= known


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES.get)
def test_a_workflow_says_what_it_may_do_and_what_runs_foreign_code_may_only_read(path):
    found = load(path)
    assert "permissions" in found
    if "pull_request" in found["on"]:
        assert found["permissions"] == {"contents": "read"}
        assert not any("permissions" in job for job in found["jobs"].values())
        assert "secrets." not in path.read_text()
    assert "pull_request_target" not in found["on"]


def test_what_may_comment_may_do_nothing_else_and_runs_no_foreign_code():
    found = load(COMMENT)
    assert list(found["on"]) == ["workflow_run"] and found["on"]["workflow_run"]["workflows"] == [load(MEASURE)["name"]]
    assert found["permissions"] == {}
    assert [job["permissions"] for job in jobs(COMMENT)] == [
        {"contents": "read", "actions": "read", "pull-requests": "write"}
    ]
    checkouts = [step for step in steps(COMMENT) if "checkout" in step.get("uses", "")]
    assert all("ref" not in step.get("with", {}) for step in checkouts)


def test_both_workflows_name_one_artifact_and_one_file():
    names = {step["with"]["name"] for path in (MEASURE, COMMENT) for step in steps(path) if "artifact" in str(step)}
    assert names == {"bench"}
    assert f"workflows/{MEASURE.name}/runs" in COMMENT.read_text()


# ---------------------------------------------------------------- the scripts, with a made-up fastbs and gh


@pytest.fixture
def run(tmp_path):
    """Run a step's script as GitHub does; programs are put into `tmp_path`/bin, outputs come back as a dict."""

    def program(path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def run_step(name, *, fastbs="true", gh="true", **environment):
        program(tmp_path / "fastbs" / "bin" / "fastbs", fastbs)
        program(tmp_path / "bin" / "gh", gh)
        output = tmp_path / "output"
        output.write_text("")
        script = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", action_steps()[name]["run"]]
        plain = {"RUNNER_TEMP": str(tmp_path), "GITHUB_OUTPUT": str(output), "LOG": str(tmp_path / "log")}
        path = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
        answer = subprocess.run(script, env=plain | path | environment, capture_output=True, text=True)
        given = dict(line.split("=", 1) for line in output.read_text().splitlines())
        return answer.returncode, given

    return run_step


SIDES = {
    "BASE": "base dir",
    "HEAD": "*.json",
    "GATE": "",
    "KEY": "default",
    "FAIL_ON_CANNOT_TELL": "false",
    "OPTIONS": "",
}
SAY = 'printf "%s\\n" "$@" > "$LOG"; echo comment; exit '


@pytest.mark.parametrize("code", [0, 1, 3, 4, 5])
def test_the_exit_code_is_passed_on_after_the_comment(run, code):
    returned, given = run("Compare", fastbs=f"{SAY}{code}", **SIDES)
    assert (returned, given["exit-code"]) == (0, str(code))
    assert Path(given["comment"]).read_text() == "comment\n"
    assert run("Verdict", CODE=given["exit-code"])[0] == code


@pytest.mark.parametrize("code", [2, 70])
def test_an_input_that_cannot_be_read_leaves_no_comment(run, code):
    returned, given = run("Compare", fastbs=f"echo bad >&2; exit {code}", **SIDES)
    assert (returned, given) == (0, {"exit-code": str(code)})


def test_what_is_given_reaches_fastbs_word_by_word(run, tmp_path):
    more = {"GATE": "my gate.toml", "FAIL_ON_CANNOT_TELL": "true", "OPTIONS": "--noise 2% --allow driver", "KEY": "a.b"}
    run("Compare", fastbs=f"{SAY}0", **SIDES | more)
    assert (tmp_path / "log").read_text().splitlines() == [
        *("compare", "--noise", "2%", "--allow", "driver", "--format", "markdown", "--key", "a.b"),
        *("--gate", "my gate.toml", "--fail-on-cannot-tell", "--", "base dir", "*.json"),
    ]


@pytest.mark.parametrize(("found", "method"), [("", "POST"), ("17", "PATCH"), ("17\n18", "PATCH")])
def test_the_comment_is_replaced_where_there_is_one(run, tmp_path, found, method):
    gh = f"""printf '%s\\n' "$*" >> "$LOG"; case "$*" in *--jq*) printf '{found}';; esac"""
    about = {
        "GITHUB_REPOSITORY": "o/r",
        "PULL_REQUEST": "5",
        "COMMENT": "c.md",
        "MARK": "<!-- fastbs:compare:default -->",
    }
    assert run("Comment", gh=gh, **about)[0] == 0
    asked, wrote = (tmp_path / "log").read_text().splitlines()
    assert "repos/o/r/issues/5/comments?per_page=100" in asked and "startswith(env.MARK)" in asked
    place = "repos/o/r/issues/comments/17" if method == "PATCH" else "repos/o/r/issues/5/comments"
    assert wrote == f"api --silent --method {method} {place} -F body=@c.md"


def test_a_comment_that_cannot_be_written_is_an_error(run):
    about = {"GITHUB_REPOSITORY": "o/r", "PULL_REQUEST": "5", "COMMENT": "c.md", "MARK": "m"}
    assert run("Comment", gh="exit 1", **about)[0] != 0
    assert action_steps()["Verdict"]["if"].startswith("always()")
