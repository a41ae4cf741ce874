"""Where the runs of a sweep are made, from the command line to the script of a job; Slurm's commands are pretended."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastbs.errors import BadInput
from fastbs.results.job_files import JobFiles
from fastbs.results.sweep_folder import SweepFolder
from fastbs.sweeps import slurm, slurm_queue, slurm_submit
from fastbs.sweeps.slurm_submit import SlurmOptions, submit


def sweep(*options, **env):
    command = [sys.executable, "-m", "fastbs", "sweep", *map(str, options)]
    return subprocess.run(command, env=dict(os.environ) | env, capture_output=True, text=True)


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """A folder of pretended commands; `say(name, script)` adds one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def say(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return say


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--partition", "gpu"], "--partition is for jobs; add --executor slurm"),
        (["--exclusive"], "--exclusive is for jobs"),
        (["--slurm", "account=vision"], "--slurm is for jobs"),
        (["--executor", "slurm", "--workers", "2"], "--workers is for this machine"),
        (["--executor", "slurm", "--slurm", "account"], "'account' is no option of sbatch with its value"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(photos, tmp_path, options, says):
    done = sweep(photos, *options, "--out", tmp_path / "out")
    assert done.returncode == 2 and says in done.stderr
    assert not (tmp_path / "out").exists()


def test_without_submitit_one_line_names_the_extra(photos, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util\n_find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'submitit' else _find(name, *rest)\n"
    )
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = sweep(photos, "--executor", "slurm", "--out", tmp_path / "out", PYTHONPATH=path)
    assert done.returncode == 2
    assert done.stderr == "fastbs: executor: slurm needs submitit; pip install 'fastbs[slurm]' brings it\n"


def test_without_slurm_one_line_says_what_does_not_answer(photos, tmp_path):
    done = sweep(photos, "--executor", "slurm", "--out", tmp_path / "out", PATH=str(tmp_path))
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "executor: squeue does not answer" in done.stderr
    assert not (tmp_path / "out").exists()


def script(commands, tmp_path, options):
    """The text that sbatch is given."""
    commands("srun", "exit 1")
    commands("sbatch", f'cp "$1" {tmp_path}/script; echo Submitted batch job 42')
    files = JobFiles(tmp_path / "slurm", "b0008-s0")
    files.folder.mkdir()
    assert submit(files, "fastbs-x-b0008-s0", options, ["/shared/out", "/shared/photos"]) == "42"
    return (tmp_path / "script").read_text()


def test_a_job_asks_for_what_it_was_given_and_queues_again_after_an_interruption(commands, tmp_path):
    options = SlurmOptions(
        partition="gpu", gpus_per_node=1, cpus_per_task=8, time="8:00:00", exclusive=True, others=(("account", "cv"),)
    )
    text = script(commands, tmp_path, options)
    for flag in ("partition=gpu", "gpus-per-node=1", "cpus-per-task=8", "time=8:00:00", "account=cv", "signal=USR2@90"):
        assert f"#SBATCH --{flag}\n" in text
    assert "#SBATCH --exclusive\n" in text and "#SBATCH --requeue\n" in text
    assert f"-P -m fastbs.worker.job {tmp_path}/slurm b0008-s0\n" in text
    assert "--cpus-per-task=8 " in text.partition("srun ")[2]
    assert 'scontrol requeue "$SLURM_JOB_ID"' in text.partition("srun ")[2]


def test_a_job_in_a_container_sees_its_folders_under_their_names_and_uses_its_own_python(commands, tmp_path):
    text = script(commands, tmp_path, SlurmOptions(container="nvcr.io#nvidia/pytorch:26.08-py3"))
    step = next(line for line in text.splitlines() if line.startswith("srun "))
    here = os.getcwd()
    assert "--container-image=nvcr.io#nvidia/pytorch:26.08-py3" in step
    assert f"--container-mounts={here}:{here},/shared/out:/shared/out,/shared/photos:/shared/photos" in step
    assert f"--container-workdir={here}" in step
    assert " python3 -P -m fastbs.worker.job " in step and "PYTHONPATH" not in text


def test_a_batch_shell_queues_again_only_what_was_interrupted(commands, tmp_path):
    commands("scontrol", f'echo "$@" >> {tmp_path}/asked')
    for code, asked in ((0, False), (1, False), (137, False), (130, True)):
        (tmp_path / "asked").unlink(missing_ok=True)
        done = subprocess.run(
            ["bash", "-c", f"(exit {code})\n\n{slurm_submit.REQUEUE}"], env=os.environ | {"SLURM_JOB_ID": "7"}
        )
        assert done.returncode == code
        assert (tmp_path / "asked").exists() == asked
    assert (tmp_path / "asked").read_text() == "requeue 7\n"


def test_a_controller_that_is_away_for_a_while_ends_no_wait(commands, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(slurm_queue.time, "monotonic", lambda: now)
    commands("squeue", "echo 7 fastbs-a; echo 8 fastbs-b")
    queue = slurm_queue.SlurmQueue()
    assert queue.jobs() == {"7": "fastbs-a", "8": "fastbs-b"}
    commands("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    now += 100
    assert queue.jobs() == {"7": "fastbs-a", "8": "fastbs-b"}
    assert queue.known_at == 1000.0
    now += 600
    with pytest.raises(BadInput, match="squeue: slurm_load_jobs error.*the same command finds it"):
        queue.jobs()


def test_a_job_that_plans_another_sweep_is_not_taken_for_this_one_s(commands, tmp_path):
    folder, arguments = SweepFolder(tmp_path), {"config": {"lr": 0.1}, "dataset": {"root": "photos"}}
    files = JobFiles(folder.jobs.resolve(), "resolve")
    files.folder.mkdir()
    files.ask({"target": "module:resolve", "arguments": arguments | {"config": {"lr": 0.2}}})
    commands("squeue", f"echo 7 {slurm._job_name(files)}")
    with pytest.raises(BadInput, match="Slurm job 7 works on another sweep for it; scancel 7"):
        slurm.Slurm(SlurmOptions()).call(folder, "module:resolve", arguments)


def test_slurm_is_asked_seldom(commands, tmp_path, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(slurm_queue.time, "monotonic", lambda: now)
    commands("squeue", f"echo x >> {tmp_path}/asked")
    queue = slurm_queue.SlurmQueue()
    for _ in range(40_000):  # an hour of looks
        queue.jobs()
        now += 0.09
    assert len(Path(tmp_path / "asked").read_text().splitlines()) < 500


def test_an_answer_belongs_to_what_was_asked_last(tmp_path):
    files = JobFiles(tmp_path, "resolve")
    assert (files.asked(), files.answered(), files.number()) == (None, None, None)
    request = {"target": "module:function", "arguments": {"a": 1}}
    files.ask(request)
    files.write_number("12")
    files.write_answer({"status": "ok"})
    assert (files.asked(), files.answered(), files.number()) == (request, {"status": "ok"}, "12")
    files.ask(request | {"arguments": {"a": 2}})
    assert (files.answered(), files.number()) == (None, None)


def test_a_job_answers_in_a_file_whatever_happens_inside(tmp_path):
    files = JobFiles(tmp_path, "job")
    for target, status, reason in (
        ("json:loads", "ok", None),
        ("json:dumps", "failed", "TypeError: dumps() missing 1 required positional argument: 'obj'"),
        ("nowhere:function", "failed", None),
    ):
        files.ask({"target": target, "arguments": {"s": "[1, 2]"}})
        done = subprocess.run([sys.executable, "-m", "fastbs.worker.job", tmp_path, "job"], capture_output=True)
        assert done.returncode == 0
        answer = files.answered()
        assert answer["status"] == status and (reason is None or reason in answer["reason"])
        assert answer["value"] == ([1, 2] if status == "ok" else None)
    assert json.loads(files.answer.read_text())["kind"] == "job-answer"
