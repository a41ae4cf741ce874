import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fastbs import worker
from fastbs.bench import try_size as trying
from fastbs.bench.find_max import TARGET, find_max
from fastbs.bench.try_size import keep_to_free_memory, try_size
from fastbs.errors import BadInput
from fastbs.measurement.memory import memory_held
from fastbs.worker import Outcome

SETTINGS = {
    "model": "small",
    "norm": None,
    "classes": 3,
    "image_size": 16,
    "precision": "fp32",
    "step": "eager",
    "optimizer": "adamw",
    "device": "cpu",
    "threads": 1,
}


def search(outcome_of, *, first, limit, **changes):
    """(what find_max answers, the sizes it tried, the lines it said), where a try ends as outcome_of(size) says."""
    sizes, lines = [], []

    def call(target, arguments, *, threads):
        assert target == TARGET and threads == 1
        sizes.append(arguments["batch_size"])
        status, reason = outcome_of(sizes[-1])
        value = {"memory": {"resident_bytes": sizes[-1]}} if status == "ok" else None
        return Outcome(status, reason, value, 0.1, bad_input=status == "failed" and reason == "bad input")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "call", call)
        return find_max(SETTINGS | changes, first=first, limit=limit, progress=lines.append), sizes, lines


@given(capacity=st.integers(0, 5000), first=st.integers(1, 600), limit=st.integers(1, 4000))
def test_the_answer_ran_and_is_within_a_sixteenth_of_the_truth(capacity, first, limit):
    found, sizes, lines = search(
        lambda size: ("ok", None) if size <= capacity else ("oom", "no room"), first=first, limit=limit
    )
    ran = {one["batch_size"] for one in found["tried"] if one["status"] == "ok"}
    failed = {one["batch_size"] for one in found["tried"] if one["status"] == "oom"}
    assert [one["batch_size"] for one in found["tried"]] == sizes and len(lines) == len(sizes)
    assert len(set(sizes)) == len(sizes) and all(1 <= size <= limit for size in sizes)
    for at, size in enumerate(sizes):
        assert all(size < before for before in sizes[:at] if before in failed)
    assert len(sizes) <= 20
    answer = found["batch_size"]
    if answer is None:
        assert capacity == 0 and not ran and found["memory"] is None and 1 in failed
        return
    assert answer == max(ran) and found["memory"] == {"resident_bytes": answer}
    if found["bound"] == "limit":
        assert answer == limit <= capacity
    else:
        truth = min(capacity, limit)
        assert found["bound"] == "free memory" and answer <= truth <= answer + max(1, answer // 16) - 1
        assert min(failed) - answer <= max(1, answer // 16)


@pytest.mark.parametrize("status", ["failed", "unsupported"])
@pytest.mark.parametrize(("at", "answer"), [(4, None), (16, 8), (24, 16)])
def test_what_is_not_memory_ends_the_search_and_is_said(status, at, answer):
    def outcome_of(size):
        return (status, "index overflow") if size == at else ("oom", "full") if size > 24 else ("ok", None)

    found, sizes, lines = search(outcome_of, first=4, limit=1000)
    assert sizes[-1] == at and found["batch_size"] == answer and found["bound"] == status
    assert found["tried"][-1] == {"batch_size": at, "status": status, "reason": "index overflow"}
    assert lines[-1] == f"batch size {at}: {status}: index overflow"


def test_bad_input_is_the_users_to_mend_and_no_size():
    with pytest.raises(BadInput, match="bad input"):
        search(lambda size: ("failed", "bad input"), first=1, limit=8)


def test_on_a_card_the_bound_is_its_memory():
    found, _, _ = search(lambda size: ("ok", None) if size < 9 else ("oom", "full"), first=1, limit=64, device="cuda")
    assert (found["batch_size"], found["bound"]) == (8, "memory")


MODEL = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.last = nn.Linear(3, classes)

    def forward(self, images):
        most = 3 if self.training else 2
        if len(images) > most:
            library = "CUDNN_STATUS_ALLOC_FAILED" if self.training else "CUBLAS_STATUS_ALLOC_FAILED"
            raise RuntimeError(f"CUDA error: {library} when calling `create(handle)`")
        return self.last(images.mean((2, 3)))

def net(*, classes, image_size):
    return Net(classes)
"""


def test_evaluation_counts_and_libraries_that_fail_to_allocate_are_out_of_memory(tmp_path, monkeypatch):
    (tmp_path / "picky.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    found = find_max(SETTINGS | {"model": "picky:net"}, first=2, limit=4, progress=print)
    assert [(one["batch_size"], one["status"]) for one in found["tried"]] == [(2, "ok"), (4, "oom"), (3, "oom")]
    assert "CUDNN_STATUS_ALLOC_FAILED" in found["tried"][1]["reason"]
    assert "CUBLAS_STATUS_ALLOC_FAILED" in found["tried"][2]["reason"]
    assert found["batch_size"] == 2 and found["memory"]["resident_bytes"] > 1 << 20
    json.dumps(found, allow_nan=False)


def test_memory_of_the_machine_that_runs_out_is_a_status_and_not_a_kill():
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (data_bytes() + (1 << 30), hard))
    try:
        outcome = worker.call(TARGET, SETTINGS | {"image_size": 64, "batch_size": 1 << 14}, threads=1)
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    assert outcome.status == "oom" and "allocate memory" in outcome.reason


def test_a_process_keeps_to_the_memory_that_is_free_and_to_a_lower_limit(monkeypatch):
    set_to = []
    monkeypatch.setattr(trying, "available_memory_bytes", lambda device: 5 << 30)
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: set_to.append((kind, *limits)))
    for before in (resource.RLIM_INFINITY, 100 << 40, 1 << 30):
        monkeypatch.setattr(resource, "getrlimit", lambda kind, before=before: (before, resource.RLIM_INFINITY))
        keep_to_free_memory()
    assert [(kind, hard) for kind, _, hard in set_to] == [(resource.RLIMIT_DATA, resource.RLIM_INFINITY)] * 3
    free = pytest.approx(data_bytes() + (5 << 30), rel=0.05)
    assert [soft for _, soft, _ in set_to] == [free, free, 1 << 30]


def data_bytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:"))


@pytest.mark.parametrize(("optimizer", "kept"), [("sgd", "momentum_buffer"), ("adamw", "exp_avg_sq")])
def test_a_try_trains_evaluates_and_trains_again_with_the_optimizers_state(monkeypatch, optimizer, kept):
    passes, made = [], []
    make_step = trying.make_step

    def watched(*arguments):
        step = make_step(*arguments)
        made.append(step)
        step.model.register_forward_hook(
            lambda net, inputs, logits: passes.append((net.training, logits.requires_grad, tuple(inputs[0].shape)))
        )
        return step

    monkeypatch.setattr(trying, "make_step", watched)
    monkeypatch.setattr(trying, "keep_to_free_memory", lambda: None)
    value = try_size(**SETTINGS | {"batch_size": 4, "optimizer": optimizer})
    trained, evaluated = (True, True, (4, 3, 16, 16)), (False, False, (4, 3, 16, 16))
    assert passes == [trained] * 3 + [evaluated] + [trained] * 3
    states = made[0].optimizer.state_dict()["state"].values()
    assert states and all(state[kept].abs().sum() > 0 for state in states)
    assert value["memory"].keys() == memory_held("cpu").keys()


def test_only_a_try_on_a_cpu_limits_itself(monkeypatch):
    class Limited(Exception):
        pass

    class Started(Exception):
        pass

    def limit():
        raise Limited

    def start(run):
        raise Started

    monkeypatch.setattr(trying, "keep_to_free_memory", limit)
    monkeypatch.setattr(trying, "prepare_process", start)
    for device, reached in (("cpu", Limited), ("cuda", Started)):
        with pytest.raises(reached):
            try_size(**SETTINGS | {"batch_size": 4, "device": device})


def test_a_size_the_net_cannot_run_at_is_unsupported(monkeypatch):
    monkeypatch.setattr(trying, "keep_to_free_memory", lambda: None)
    with pytest.raises(worker.Unsupported, match="single value per channel"):
        try_size(**SETTINGS | {"model": "resnet18", "batch_size": 1, "image_size": 8})


@pytest.mark.gpu
def test_a_card_that_others_have_filled_has_room_for_less():
    settings = SETTINGS | {"device": "cuda", "image_size": 64}
    free, _ = torch.cuda.mem_get_info()
    taken = torch.empty(free - (3 << 30), dtype=torch.uint8, device="cuda")
    found = find_max(settings, first=256, limit=1 << 16, progress=print)
    del taken
    torch.cuda.empty_cache()
    assert found["bound"] == "memory" and 0 < found["memory"]["reserved_bytes"] <= 3 << 30
    assert {one["status"] for one in found["tried"]} == {"ok", "oom"}


def test_the_search_itself_needs_no_torch():
    import_it = "import sys, fastbs.bench.find_max, fastbs.bench.own_step; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", import_it]).returncode == 0
