"""A sweep through a real Slurm of one node, which a fixture starts and stops."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")
CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmdPort={d_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
MpiDefault=none
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=2
PartitionName=tests Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
SMALL = ("--batch-sizes", "4,16", "--epochs", "2", "--seeds", "1")
LONG = ("--batch-sizes", "4", "--epochs", "80", "--eval-images", "200", "--seeds", "1", "--checkpoint-seconds", "0")
KEYS = ("images", "updates", "train_loss", "train_top1", "loss", "top1", "lr")

pytestmark = pytest.mark.slow


def why_no_slurm():
    path = os.environ["PATH"] + os.pathsep + "/usr/sbin"
    missing = [command for command in COMMANDS if shutil.which(command, path=path) is None]
    if missing:
        return f"needs Slurm: {', '.join(missing)} not installed (apt-get install slurm-wlm munge)"
    return "" if os.geteuid() == 0 else "needs root, to start a Slurm of its own"


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def until(found, seconds=60.0, every=0.1):
    """What `found` returns once it is true."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(every)
    return value


@pytest.fixture(scope="module")
def cluster():
    """The environment in which Slurm's commands reach a cluster of one node with two cores."""
    if reason := why_no_slurm():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="slurm"))  # short: the name of a socket has 107 characters at most
    host = socket.gethostname().partition(".")[0]
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir(mode=0o755)
    (folder / "key").write_bytes(os.urandom(1024))
    (folder / "key").chmod(0o400)
    settings = {"folder": folder, "host": host, "ctld_port": free_port(), "d_port": free_port()}
    (folder / "slurm.conf").write_text(CONFIGURATION.format(**settings))
    path = os.environ["PATH"] + os.pathsep + "/usr/sbin"
    env = dict(os.environ) | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": path}
    munge = [f"--{name}={folder}/munge/{name}" for name in ("socket", "pid-file", "log-file", "seed-file")]
    with (folder / "said").open("w") as said:

        def daemon(*command):
            return subprocess.Popen(command, env=env, stdout=said, stderr=said, start_new_session=True)

        daemons = [daemon("munged", "--foreground", "--force", f"--key-file={folder}/key", *munge)]
        try:
            until((folder / "munge" / "socket").exists)
            daemons += [daemon("slurmctld", "-D"), daemon("slurmd", "-D", "-N", host)]
            until(lambda: node_state(env) == "idle")
            yield env
            slurm(env, "scancel", "--user", "root")
            until(lambda: not slurm(env, "squeue", "--noheader"))
        finally:
            for process in reversed(daemons):
                process.terminate()
                process.wait(20)
    shutil.rmtree(folder, ignore_errors=True)


def slurm(env, *command):
    return subprocess.run(command, env=env, capture_output=True, text=True).stdout


def node_state(env):
    return slurm(env, "sinfo", "--noheader", "--format", "%T").strip()


def command(photos, options, out, *more):
    options = (*options, "--no-controls", "--threads", "1", "--loader-threads", "1", "--out", out, *more)
    return [sys.executable, "-m", "fastbs", "sweep", str(photos), *map(str, options)]


def sweep(photos, options, out, *more, env=None):
    return subprocess.run(command(photos, options, out, *more), env=env, capture_output=True, text=True)


@pytest.fixture(scope="module")
def local(photos, tmp_path_factory):
    """The same sweeps without Slurm, left alone."""
    folders = {}
    for name, options in (("small", SMALL), ("long", LONG)):
        folders[name] = tmp_path_factory.mktemp("local") / name
        assert sweep(photos, options, folders[name]).returncode == 0
    return folders


def rows(out):
    """What must not depend on where and how often a run was started."""
    found = {}
    for folder in sorted(out.glob("runs/*")):
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        found[folder.name] = [run(folder)["status"], *[[line[key] for key in KEYS] for line in lines]]
    return found


def run(folder):
    return json.loads((folder / "run.json").read_text())


def form(value):
    """A document without its values: keys and types."""
    if isinstance(value, dict):
        return {key: form(inner) for key, inner in value.items()}
    return [form(inner) for inner in value] if isinstance(value, list) else type(value).__name__


def only_run(out):
    return out / "runs" / "b0004-s0"


def evaluated(out, times):
    """Whether the run has looked at its validation images so often."""
    metrics = only_run(out) / "metrics.jsonl"
    return metrics.exists() and len(metrics.read_text().splitlines()) >= times


def job_of(out):
    return json.loads((out / "slurm" / "b0004-s0.job.json").read_text())["number"]


def submitted(out):
    """How many jobs were submitted for the run."""
    scripts = (out / "slurm").glob("[0-9]*_submission.sh")
    return sum("worker.job" in text and "b0004-s0" in text for text in map(Path.read_text, scripts))


def test_a_sweep_through_slurm_leaves_what_a_local_one_leaves(cluster, photos, local, tmp_path):
    out = tmp_path / "out"
    done = sweep(photos, SMALL, out, "--executor", "slurm", "--partition", "tests", "--time", "5", env=cluster)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 ok runs shared their node with others and count for accuracy alone" in " ".join(done.stdout.split())
    assert rows(out) == rows(local["small"])
    for folder in sorted(out.glob("runs/*")):
        here, there = run(folder), run(local["small"] / "runs" / folder.name)
        assert form(here) == form(there)
        assert here["shared"] and not there["shared"]
        names = {entry.name for entry in folder.iterdir() if "tfevents" not in entry.name}
        assert names == {
            entry.name for entry in (local["small"] / "runs" / folder.name).iterdir() if "tfevents" not in entry.name
        }
    ours, theirs = (json.loads((folder / "summary.json").read_text()) for folder in (out, local["small"]))
    for mine, other in zip(ours["rows"], theirs["rows"], strict=True):
        assert mine["step_ms"] is None and other["step_ms"] > 0
        assert all(mine[key] == other[key] for key in ("batch_size", "status", "n", "updates", "top1_mean"))
    assert not list(out.rglob("*.pkl"))


def test_a_job_killed_in_the_middle_is_interrupted_and_the_same_command_resumes_it(cluster, photos, local, tmp_path):
    out = tmp_path / "out"
    asked = subprocess.Popen(
        command(photos, LONG, out, "--executor", "slurm"), env=cluster, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    until(lambda: evaluated(out, 2))
    job = job_of(out)
    slurm(cluster, "scancel", "--signal=KILL", job)
    _, said = asked.communicate(timeout=120)
    assert asked.returncode == 1
    assert run(only_run(out))["status"] == "failed"
    assert run(only_run(out))["reason"].startswith(f"interrupted: Slurm job {job} ended ")
    assert f"interrupted: Slurm job {job}" in said.decode()
    before = (only_run(out) / "metrics.jsonl").read_text().splitlines()
    assert len(before) < len(rows(local["long"])["b0004-s0"]) - 1

    again = sweep(photos, LONG, out, "--executor", "slurm", env=cluster)
    assert again.returncode == 0, again.stderr
    assert rows(out) == rows(local["long"])
    after = (only_run(out) / "metrics.jsonl").read_text().splitlines()
    assert after[0] == before[0]  # seconds included: it was not trained anew
    assert submitted(out) == 2

    done = sweep(photos, LONG, out, "--executor", "slurm", env=cluster)
    assert done.returncode == 0 and "1 of 1 runs are finished" in done.stderr and "submitted" not in done.stderr


def test_who_asked_may_die_and_a_preempted_job_goes_on_where_it_was(cluster, photos, local, tmp_path):
    out = tmp_path / "out"
    asked = subprocess.Popen(
        command(photos, LONG, out, "--executor", "slurm"),
        env=cluster,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: evaluated(out, 1))
    second = sweep(photos, LONG, out, "--executor", "slurm", env=cluster)
    assert second.returncode == 2 and f"process {asked.pid} on " in second.stderr
    shown = subprocess.run([sys.executable, "-m", "fastbs", "show", out], capture_output=True, text=True)
    assert shown.returncode == 0 and "1 pending" in shown.stdout
    asked.kill()
    asked.wait()

    job = job_of(out)
    slurm(cluster, "scancel", f"--signal={signal.SIGUSR2.name.removeprefix('SIG')}", job)
    until(lambda: "JobState=PENDING" in slurm(cluster, "scontrol", "show", "job", job))
    assert "Restarts=1" in slurm(cluster, "scontrol", "show", "job", job)
    assert run(only_run(out))["status"] == "running"
    before = (only_run(out) / "metrics.jsonl").read_text().splitlines()
    # Slurm lets two minutes pass, in which the node sweeps up what the first start left; the sweeping is enough.
    spool = Path(cluster["SLURM_CONF"]).parent / "spool"
    until(lambda: not list(spool.glob(f"job*{job}*")) and node_state(cluster) == "idle")
    time.sleep(1)
    slurm(cluster, "scontrol", "update", f"JobId={job}", "StartTime=now")
    again = sweep(photos, LONG, out, "--executor", "slurm", env=cluster)
    assert again.returncode == 0, again.stderr
    assert f"job {job} waits or runs already" in again.stderr
    assert submitted(out) == 1
    assert rows(out) == rows(local["long"])
    assert (only_run(out) / "metrics.jsonl").read_text().splitlines()[: len(before)] == before


def test_what_slurm_refuses_is_said_in_one_line(cluster, photos, tmp_path):
    done = sweep(photos, SMALL, tmp_path / "out", "--executor", "slurm", "--partition", "nowhere", env=cluster)
    assert done.returncode == 2
    assert "executor: sbatch refused: " in done.stderr and "invalid partition" in done.stderr.lower()
    assert sum(line.startswith("fastbs: ") for line in done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
