import functools
import math
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from fastbs import worker
from fastbs.bench.own_step import FILE_AS, load, measure_own_step, reference
from fastbs.errors import BadInput
from fastbs.worker import started

ROOT = Path(__file__).resolve().parents[2]
TIMES = {"device": "cpu", "threads": 1, "blocks": 2, "block_seconds": 0.02}
SOURCE = """
import resource

def make(batch_size):
    data = list(range(batch_size))
    def step():
        if batch_size == 2:
            raise ValueError("no\\npair")
        if batch_size == 4:
            resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))
            bytearray(1 << 30)
        return sum(data)
    return step

class Step:
    def __init__(self, batch_size):
        self.batch_size = batch_size
    def __call__(self):
        return self.batch_size

def modules(batch_size):
    import sys
    if "torch" in sys.modules:
        raise RuntimeError("torch is loaded")
    return lambda: None

def forgets(batch_size):
    lambda: None

number = 3
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A current directory with the user's own file and module, found by nobody before and after."""
    (tmp_path / "mine.py").write_text(SOURCE)
    (tmp_path / "my_steps_for_this_test.py").write_text(SOURCE)
    (tmp_path / "broken.py").write_text("import no_such_module_anywhere")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in (FILE_AS, "my_steps_for_this_test"):
        sys.modules.pop(name, None)


def measured(function, size, **changes):
    arguments = {"function": function, "batch_size": size, **TIMES, **changes}
    return worker.call("fastbs.bench.own_step:measure_own_step", arguments, threads=1)


@pytest.mark.parametrize("where", ["mine.py", "my_steps_for_this_test"])
def test_one_size_out_of_memory_and_one_that_raises_leave_the_others_intact(here, where):
    outcomes = {size: measured(f"{where}:make", size) for size in (1, 2, 4, 8)}
    assert [outcome.status for outcome in outcomes.values()] == ["ok", "failed", "oom", "ok"]
    assert outcomes[2].reason == "ValueError: no pair" and not outcomes[2].bad_input
    assert outcomes[4].reason == "MemoryError"
    for size in (1, 8):
        sample = outcomes[size].value
        assert sample["images"] == size and sample["phases"] is None
        assert len(sample["blocks"]) == 2
        assert all(calls > 0 and seconds > 0 and faults >= 0 for calls, seconds, faults, _ in sample["blocks"])
        assert sample["memory"]["resident_bytes"] > 1 << 20 and sample["memory"]["allocated_bytes"] is None


def test_code_without_torch_is_measured_without_torch(here):
    assert measured("mine.py:modules", 1).status == "ok"


def test_a_class_that_can_be_called_is_a_step_too(here):
    assert measure_own_step("mine.py:Step", 3, **TIMES)["images"] == 3


def test_torch_computes_with_the_threads_that_are_asked_for(here):
    (here / "mine.py").write_text(
        "import torch\ntorch.set_num_threads(3)\ndef make(batch_size):\n    assert torch.get_num_threads() == 1\n"
        "    return lambda: None\n"
    )
    assert measured("mine.py:make", 1).status == "ok"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("nowhere.py:make", "there is no file .*nowhere.py"),
        ("no_such_module_anywhere:make", "cannot be imported: ModuleNotFoundError: .*PYTHONPATH"),
        ("broken.py:make", "cannot be imported: ModuleNotFoundError: No module named 'no_such"),
        ("mine.py:mike", "mine.py has no function 'mike'; did you mean mine.py:make\\?"),
        ("mine.py:number", "mine.py has no function 'number'"),
        ("mine.py", "neither module:name nor file.py:name"),
        ("mine.py:", "has no function ''"),
        ("mine.py:forgets", "returned NoneType for batch size 1; it must return one step"),
    ],
)
def test_what_is_wrong_with_the_function_is_said_in_one_line(here, function, said):
    with pytest.raises(BadInput, match=said) as caught:
        measure_own_step(function, 1, **TIMES)
    assert str(caught.value).startswith("function: ") and "\n" not in str(caught.value)


def test_memory_that_runs_out_while_the_file_is_imported_is_no_mistake_of_the_user(here):
    (here / "mine.py").write_text("raise MemoryError('too much')")
    with pytest.raises(MemoryError):
        load("mine.py:make")


def test_a_function_is_found_again_by_its_reference(here):
    for function in (load("my_steps_for_this_test:make"), load("my_steps_for_this_test:Step"), math.sqrt):
        assert load(reference(function)) is function
    assert reference("anything:at_all") == "anything:at_all"


def bound_to_this_file(batch_size):
    return lambda: None


@pytest.mark.parametrize(
    "make_step",
    [
        lambda batch_size: lambda: None,
        functools.partial(bound_to_this_file),
        Path("x").joinpath,
        Path.joinpath,
        functools.wraps(math.sqrt)(lambda batch_size: lambda: None),
    ],
    ids=["lambda", "partial", "bound method", "method", "pretender"],
)
def test_what_no_other_process_can_import_is_refused_with_the_way_out(make_step):
    def closure(batch_size):
        return lambda: None

    for refused in (make_step, closure):
        with pytest.raises(BadInput, match="put it in a file"):
            reference(refused)


def test_a_notebook_cell_is_refused(monkeypatch):
    cell = types.ModuleType("__main__")
    exec("def make(batch_size): return print", cell.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", cell)
    with pytest.raises(BadInput, match="put it in a file"):
        reference(cell.make)


def test_a_fresh_process_does_not_start_to_measure(monkeypatch):
    monkeypatch.setenv(started.VARIABLE, "1.0")
    with pytest.raises(BadInput, match='if __name__ == "__main__":'):
        reference("mine.py:make")


GUARDED = """
from fastbs import worker
from fastbs.bench.own_step import reference
from my_neighbour import step

def make(batch_size):
    return step

if __name__ == "__main__":
    function = reference(make)
    times = {"device": "cpu", "threads": 1, "blocks": 1, "block_seconds": 0.01}
    arguments = {"function": function, "batch_size": 2, **times}
    print(function, worker.call("fastbs.bench.own_step:measure_own_step", arguments))
"""


@pytest.mark.parametrize(
    ("started_as", "name"),
    [
        (["scripts/bench_mine.py"], "scripts/bench_mine.py:make"),
        (["-m", "scripts.bench_mine"], "scripts.bench_mine:make"),
    ],
)
def test_a_script_is_measured_by_the_name_it_can_be_imported_by(tmp_path, started_as, name):
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "bench_mine.py").write_text(GUARDED)
    (tmp_path / "my_neighbour.py" if "-m" in started_as else scripts / "my_neighbour.py").write_text("def step(): pass")
    printed = run(started_as, tmp_path)
    assert printed.startswith(f"{name} Outcome(status='ok'"), printed


def test_a_script_that_measures_when_imported_is_told_so_and_ends(tmp_path):
    (tmp_path / "careless.py").write_text(GUARDED.replace('if __name__ == "__main__":', "if True:"))
    (tmp_path / "my_neighbour.py").write_text("def step(): pass")
    printed = run(["careless.py"], tmp_path)
    assert "bad_input=True" in printed and "measures as soon as it is imported" in printed


def run(arguments, folder):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
