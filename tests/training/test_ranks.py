"""Two gloo ranks against one process: the same weights, losses, accuracies, draws and decisions.

Both processes of the pair start once and make all runs, one after the other.
"""

import dataclasses
import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from fastbs.analysis.noise_scale import noise_scale
from fastbs.config import RunConfig
from fastbs.data.check import verified_dataset
from fastbs.errors import BadInput
from fastbs.measurement.machine import machine
from fastbs.results.files import write_json
from fastbs.results.mllog import mlperf_run, read_mllog
from fastbs.results.run_folder import RunFolder
from fastbs.training import checkpoint
from fastbs.training.meeting import meet
from fastbs.training.resolve import resolve
from fastbs.training.run import Training, train
from fastbs.training.world import World
from fastbs.worker import OtherRankLost

CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parents[2]
PLAIN = {"batch_size": 8, "updates": 20, "eval_images": 24, "threads": 1, "precision": "fp32", "augment": "crop-flip"}
RUNS = {
    "dali": {"loader": "dali", "norm": "group"},
    "resident": {"loader": "resident", "norm": "none"},
    "synthetic": {"loader": "synthetic", "norm": "group"},
    "adamw": {"optimizer": "adamw", "lr": 0.001, "weight_decay": 0.1, "loader": "resident", "norm": "group"},
    "cosine": {"schedule": "cosine", "warmup_images": 40, "norm": "group", "loader": "resident"},
    "parts": {"micro_batch": 2, "norm": "group", "loader": "resident"},  # of one process: 4
    "batch-norm": {"norm": "batch", "loader": "resident"},
    "noise": {"noise_scale": True, "noise_share": 0.99, "norm": "group", "loader": "resident"},
    "target": {"target": 0.6, "until_target": True, "updates": 200, "norm": "group", "loader": "resident"},
    "seconds": {"seconds": 0.001, "updates": 5000, "eval_images": 8000, "norm": "group", "loader": "resident"},
    "diverging": {"lr": 1e12, "norm": "none", "loader": "resident"},
}
ROUNDING = {"adamw": 5e-4}  # of weights: it divides by the gradient, and so makes much of the smallest ones
RANK = """
import json, sys
from fastbs.training import clock
from fastbs.training.run import train
from fastbs.training.world import joined
from fastbs.worker.ranks import Rank
rank, plans = int(sys.argv[1]), json.loads(sys.stdin.read())
if rank == 1:
    clock.BLOCK_SECONDS = 0.0  # a block after each update, when the other's is still open: no decision may hang on it
here = Rank(rank=rank, ranks=2, local_rank=rank, local_ranks=2, host=0, restarts=0, launch="test")
with joined(here, {"config": {"device": "cpu"}} if rank == 0 else None) as (world, _):
    for plan in plans:
        train(**plan, world=world, launch=here.launch)
"""


@pytest.fixture(scope="module")
def runs(photos, tmp_path_factory):
    """runs("one" or "two", name): folder of that run, made by one process or by two ranks; 60 training images."""
    folder, dataset = tmp_path_factory.mktemp("ranks"), verified_dataset(photos)
    write_json(folder / "dataset.json", dataset.to_json())
    machine_here = machine()

    def plan(who, name, **changes):
        run = RunConfig(data=str(photos), **PLAIN | RUNS[name] | changes)
        config = resolve(run.to_json(), dataset.to_json())["run"]
        place = {"dataset": str(folder / "dataset.json"), "folder": str(folder / who / name)}
        return {"config": config, "arm": "main", "machine": machine_here} | place

    start_two([plan("two", name) for name in RUNS])

    def made(who, name):
        if who == "one" and not (folder / who / name).exists():
            train(**plan("one", name, **({"micro_batch": 4} if name == "parts" else {})))
        return RunFolder(folder / who / name)

    return made


def start_two(plans):
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    env = os.environ | {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "PYTHONPATH": str(ROOT)}
    start = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": env}
    ranks = [subprocess.Popen([sys.executable, "-P", "-c", RANK, str(rank)], **start) for rank in range(2)]
    for rank in ranks:
        rank.stdin.write(json.dumps(plans))
        rank.stdin.close()
        rank.stdin = None
    try:
        said = [rank.communicate(timeout=120)[1] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], said


def weights(folder):
    return checkpoint.load(folder.checkpoint, CPU)["model"]


def numbers(folder):
    """The evaluations without their times, as one tensor."""
    values = [dataclasses.astuple(e) for e in folder.evaluations()]
    return torch.tensor([[images, updates, *rest] for images, updates, _, _, *rest in values], dtype=torch.float64)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dali", "resident", "synthetic", "adamw", "cosine", "parts"])
def test_two_ranks_end_with_the_weights_of_one_process(runs, name):
    """Norm group or none, which see one image at a time; 20 updates go over two ends of epochs of 56 images."""
    one, two = runs("one", name), runs("two", name)
    for key, value in weights(one).items():
        torch.testing.assert_close(weights(two)[key], value, rtol=1e-3, atol=ROUNDING.get(name, 2e-5))
    torch.testing.assert_close(numbers(two), numbers(one), rtol=1e-3, atol=1e-5)
    assert two.record().result.updates == one.record().result.updates == 20
    assert two.record().result.images == 160


def test_batch_norm_takes_the_statistics_of_each_ranks_part(runs):
    """So two ranks are not one process there, and the log says over how many images; rank 0's averages are kept."""
    one, two = runs("one", "batch-norm"), runs("two", "batch-norm")
    assert any(not torch.allclose(value, weights(two)[key], rtol=1e-2) for key, value in weights(one).items())
    assert two.record().status == "ok" and numbers(two).shape == numbers(one).shape
    assert '"key": "model_bn_span", "value": 4' in two.mllog.read_text()


def test_ranks_share_the_draws_of_the_noise_scale(runs):
    one, two = (runs(who, "noise").draws() for who in ("one", "two"))
    assert {(draw.micro_batch, len(draw.squared_norms)) for draw in two} == {(4, 32)}
    assert {(draw.micro_batch, len(draw.squared_norms)) for draw in one} == {(8, 16)}
    assert all(draw.squared_norm_of_mean <= max(draw.squared_norms) for draw in two)
    assert noise_scale(two[:1]).gradient_squared + noise_scale(two[:1]).trace > 0


def test_ranks_end_together_at_a_target_a_time_or_a_loss_that_is_not_finite(runs):
    one, two = runs("one", "target"), runs("two", "target")
    assert two.record().status == "ok" and two.record().result.updates == one.record().result.updates < 200
    assert runs("two", "seconds").record().result.updates < 5000
    assert runs("two", "diverging").record().status == "diverged"


def test_the_record_states_the_ranks_and_what_their_gradients_cost(runs):
    document = json.loads(runs("two", "dali").document.read_text())
    assert document["world"] == {"ranks": 2, "backend": "gloo", "hosts": [socket.gethostname()] * 2, "launch": "test"}
    result = runs("two", "dali").record().result
    assert result.synced_pass_seconds > 0 and result.unsynced_pass_seconds > 0
    assert runs("one", "dali").record().result.synced_pass_seconds is None
    assert json.loads(runs("one", "dali").document.read_text())["world"] is None
    assert mlperf_run(read_mllog(runs("two", "dali").mllog), runs("two", "dali").mllog).batch_size == 8


def test_ranks_that_are_started_again_do_not_meet_the_dead():
    """On a server that holds what an earlier rank 1 said, and what rank 0 answered it."""
    server, second = dist.HashStore(), timedelta(seconds=5)
    server.set("rank 1", "the dead")

    def first():
        return meet(server, 0, 2, {"lr": 1}, second)

    with ThreadPoolExecutor() as pool:
        early = pool.submit(first)
        while not server.check(["plan for the dead"]):
            time.sleep(0.01)
        late = pool.submit(meet, server, 1, 2, None, second)
        assert late.result(10) == early.result(10) and late.result()["lr"] == 1
        again, other = pool.submit(meet, server, 1, 2, None, second), pool.submit(first)
        assert again.result(10) == other.result(10) != late.result()
    with pytest.raises(OtherRankLost, match="rank 1 did not come within 0.1 s"):
        meet(server, 0, 2, {}, timedelta(seconds=0.1))


def test_a_run_of_two_ranks_is_not_continued_by_one_process(runs):
    document = json.loads(runs("two", "dali").document.read_text())
    settings = {key: document[key] for key in ("arm", "config", "dataset", "machine")}
    with pytest.raises(BadInput, match="holds a run with ranks 2, not 1"):
        runs("two", "dali").begin(**settings)


@pytest.mark.parametrize(("batch_size", "ranks"), [(30, 4), (2, 4), (7, 2)])
def test_a_batch_that_ranks_cannot_share_evenly_is_refused(batch_size, ranks):
    with pytest.raises(BadInput, match=f"batch-size: {batch_size} images cannot be shared evenly by {ranks} ranks"):
        RunConfig(data="photos", batch_size=batch_size).of_rank(ranks)


def test_a_micro_batch_must_divide_what_each_rank_does():
    with pytest.raises(BadInput, match="micro-batch: 8 does not divide the batch size 12"):
        RunConfig(data="photos", batch_size=24, micro_batch=8).of_rank(2)


@pytest.mark.parametrize("elsewhere", [None, (12, 3.4)])
def test_ranks_that_would_continue_from_unlike_checkpoints_are_refused(runs, elsewhere):
    class Other(World):
        def gathered(self, value):
            return [value, elsewhere]

    training = object.__new__(Training)
    training.records, training.device, training.world = runs("one", "synthetic"), CPU, Other(ranks=2)
    with pytest.raises(BadInput, match=r"checkpoint.pt: another one, or none, on other hosts"):
        training._load()
