"""The same command again, on a Slurm that is pretended: what was submitted is found, and never thrown away."""

import pytest
from click.testing import CliRunner

from fastbs.cli import fastbs
from fastbs.config import RunConfig, SweepConfig
from fastbs.errors import BadInput
from fastbs.results.job_files import JobFiles
from fastbs.sweeps import slurm, slurm_queue
from fastbs.sweeps.slurm import Slurm, SlurmRun
from fastbs.sweeps.slurm_submit import SlurmOptions
from fastbs.sweeps.sweep import sweep

pytest.importorskip("submitit")


class Cluster:
    """Jobs wait for ever; once `away`, it does not answer."""

    def __init__(self):
        self.jobs, self.away, self.ended = {}, False, set()

    def submit(self, files, name, options, needs):
        self.jobs[str(len(self.jobs) + 1)] = name
        return str(len(self.jobs))

    def ask(self, command, *options):
        if self.away:
            raise BadInput("executor: squeue: no answer")
        if command == "scontrol":
            return "JobState=CANCELLED ExitCode=0:0"
        return "".join(f"{number} {name}\n" for number, name in self.jobs.items() if number not in self.ended)


@pytest.fixture
def cluster(monkeypatch):
    cluster = Cluster()
    monkeypatch.setattr(slurm, "submit", cluster.submit)
    monkeypatch.setattr(slurm_queue, "_ask", cluster.ask)
    monkeypatch.setattr(slurm_queue, "PATIENCE", 0.0)
    return cluster


def test_a_first_job_that_still_waits_is_found_again_and_its_request_is_kept(cluster, photos, tmp_path):
    config, out, said = SweepConfig(run=RunConfig(data=str(photos)), batch_sizes=(4,)), tmp_path / "out", []

    def say(text):
        said.append(text)
        cluster.away = True

    for _ in range(2):
        cluster.away = False
        with pytest.raises(BadInput, match="no answer"):
            sweep(config, out, executor=Slurm(SlurmOptions(), say))
    assert said == ["resolve: job 1 submitted", "resolve: job 1 waits or runs already"]
    assert JobFiles(out / "slurm", "resolve").asked()["target"].endswith(":resolve")


def test_a_first_job_that_is_cancelled_is_one_line_and_submitted_again(cluster, photos, tmp_path):
    config, out = SweepConfig(run=RunConfig(data=str(photos)), batch_sizes=(4,)), tmp_path / "out"
    for job in ("1", "2"):
        cluster.ended.add(job)
        with pytest.raises(BadInput, match=f"job {job} ended CANCELLED.*; the same command submits it again"):
            sweep(config, out, executor=Slurm(SlurmOptions()))
    assert len(cluster.jobs) == 2


def test_who_waits_for_a_job_may_leave_at_once(tmp_path):
    waiting = SlurmRun(None, None)
    waiting.ask_to_leave()
    assert waiting.poll().interrupted


def test_an_array_of_jobs_is_refused(photos, tmp_path):
    asked = ["sweep", str(photos), "--executor", "slurm", "--slurm", "array=0-1", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(fastbs, asked)
    assert done.exit_code == 2 and "every run is a job of its own" in done.output
