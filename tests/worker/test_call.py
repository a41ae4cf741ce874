import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fastbs import worker

TARGETS = """
import ctypes, errno, os, resource, signal, sys, time
from fastbs.errors import BadInput
from fastbs.worker import Unsupported, interruption

def add(a, b): return a + b
def environment(): return dict(os.environ)
def chatter(): print("to stdout"); print("to stderr", file=sys.stderr); return 1
def fail(): raise ValueError("the cause")
def refuse(): raise BadInput("photo.jpg: broken")
def fill_the_disk(): raise OSError(errno.ENOSPC, "No space left on device", "events.out")
def unsupported(): raise Unsupported("1x1 BatchNorm at batch size 1")
def out_of_memory():
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    return len(bytearray(2 << 30))
def no_torch(): import torch_of_another_world
def cublas(): raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)")
def segfault(): ctypes.string_at(0)
def abort_with_bad_alloc(): print("terminate called: std::bad_alloc", file=sys.stderr, flush=True); os.abort()
def leave(): os._exit(3)
def asked(): return interruption.asked()
def sleep(): time.sleep(60)
def infinite(): return float("inf")
def write_pid_and_sleep(path):
    open(path, "w").write(str(os.getpid())); time.sleep(60)
"""


@pytest.fixture(autouse=True)
def targets(tmp_path, monkeypatch):
    (tmp_path / "targets.py").write_text(TARGETS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_the_value_comes_back_from_a_process_of_its_own():
    outcome = worker.call("targets:add", {"a": 1, "b": 2})
    assert (outcome.status, outcome.reason, outcome.value) == ("ok", None, 3)
    assert outcome.seconds > 0


def test_allocator_threads_and_code_are_set_before_the_process_starts():
    env = worker.call("targets:environment", {}, threads=3, env={"EXTRA": "x"}).value
    assert env["OMP_NUM_THREADS"] == "3" and env["EXTRA"] == "x"
    assert int(env["MALLOC_TRIM_THRESHOLD_"]) >= 1 << 30
    assert env["PYTHONPATH"].split(os.pathsep)[0] == str(Path(worker.__file__).parents[2])


@pytest.mark.parametrize(
    ("target", "status", "reason"),
    [
        ("fail", "failed", "ValueError: the cause"),
        ("unsupported", "unsupported", "1x1 BatchNorm at batch size 1"),
        ("out_of_memory", "oom", "MemoryError"),
        ("cublas", "oom", "CUBLAS_STATUS_ALLOC_FAILED"),
        ("segfault", "failed", "SIGSEGV"),
        ("abort_with_bad_alloc", "oom", "bad_alloc"),
        ("leave", "failed", "exit code 3"),
        ("infinite", "failed", "JSON compliant"),
        ("missing", "failed", "has no attribute 'missing'"),
    ],
)
def test_every_ending_has_its_status_and_reason(target, status, reason):
    outcome = worker.call(f"targets:{target}", {})
    assert outcome.status == status
    assert reason in outcome.reason and "\n" not in outcome.reason
    assert outcome.value is None and not outcome.bad_input


def test_bad_input_is_told_apart_from_a_failure():
    outcome = worker.call("targets:refuse", {})
    assert outcome.bad_input and outcome.reason == "photo.jpg: broken"
    bare = worker.call("targets:no_torch", {})
    assert bare.bad_input and "torch_of_another_world: not installed; pip install" in bare.reason
    full = worker.call("targets:fill_the_disk", {})
    assert full.bad_input and "No space left on device: 'events.out'" in full.reason


def test_a_time_limit_stops_the_process():
    outcome = worker.call("targets:sleep", {}, timeout=1.0)
    assert outcome.status == "stopped" and "1 s" in outcome.reason
    assert outcome.seconds < 30


def wait_for(path):
    for _ in range(600):
        if path.exists() and path.read_text():
            return int(path.read_text())
        time.sleep(0.05)
    raise AssertionError(f"{path} did not appear")


def test_a_killed_process_is_failed_by_its_signal(tmp_path):
    pid_file = tmp_path / "pid"
    killer = threading.Thread(target=lambda: os.kill(wait_for(pid_file), signal.SIGKILL))
    killer.start()
    outcome = worker.call("targets:write_pid_and_sleep", {"path": str(pid_file)})
    killer.join()
    assert outcome.status == "failed" and outcome.reason == "ended by SIGKILL"


def test_the_process_dies_with_its_caller(tmp_path):
    pid_file = tmp_path / "pid"
    script = "import sys; from fastbs import worker; worker.call('targets:write_pid_and_sleep', {'path': sys.argv[1]})"
    env = dict(os.environ) | {"PYTHONPATH": os.pathsep.join([str(Path(worker.__file__).parents[2]), str(tmp_path)])}
    caller = subprocess.Popen([sys.executable, "-c", script, pid_file], env=env)
    pid = wait_for(pid_file)
    caller.kill()
    caller.wait()
    for _ in range(200):
        status = Path(f"/proc/{pid}/status")
        if not status.exists() or "zombie" in status.read_text():
            return
        time.sleep(0.05)
    raise AssertionError("the process outlived its caller")


def test_what_the_process_prints_goes_to_the_log_and_never_to_our_stdout(tmp_path, capfd):
    log = tmp_path / "log.txt"
    worker.call("targets:chatter", {}, log=log)
    worker.call("targets:chatter", {}, log=log)
    assert log.read_text().count("to stdout") == 2 and log.read_text().count("to stderr") == 2
    worker.call("targets:chatter", {}, show=True)
    printed = capfd.readouterr()
    assert printed.out == ""


def test_the_lock_is_held_by_the_process_that_works(tmp_path):
    lock, pid_file = tmp_path / "lock", tmp_path / "pid"
    holder = threading.Thread(
        target=lambda: worker.call("targets:write_pid_and_sleep", {"path": str(pid_file)}, lock=lock, timeout=20)
    )
    holder.start()
    pid = wait_for(pid_file)
    assert lock.read_text().split()[0] == str(pid)
    os.kill(pid, signal.SIGKILL)
    holder.join()
    assert worker.call("targets:add", {"a": 1, "b": 1}, lock=lock).value == 2


def test_an_interrupt_before_it_was_asked_anything_leaves_no_process(monkeypatch):
    began = []

    def interrupted(self, request):
        began.append(self._process)
        raise KeyboardInterrupt

    monkeypatch.setattr(worker.Call, "ask", interrupted)
    with pytest.raises(KeyboardInterrupt):
        worker.start("targets:sleep", {})
    assert began[0].returncode == -signal.SIGKILL


def test_a_process_that_is_asked_nothing_ends():
    worker_itself = [sys.executable, "-P", "-m", "fastbs.worker", "1"]
    assert subprocess.run(worker_itself, stdin=subprocess.DEVNULL, capture_output=True, timeout=30).returncode == 1


def test_a_process_that_is_asked_to_leave_while_it_starts_is_not_ended_but_told():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    call = worker.start("targets:asked", {})
    call.ask_to_leave()
    outcome = call.wait(60)
    assert (outcome.status, outcome.value) == ("ok", True)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
