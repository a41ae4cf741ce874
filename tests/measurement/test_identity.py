import copy

import pytest

from fastbs.measurement.identity import other_machine
from fastbs.measurement.machine import machine


def test_a_machine_is_itself_whatever_its_clocks_and_edits():
    block = machine()
    later = copy.deepcopy(block)
    later["software"]["source"] = {"commit": "other", "dirty": True}
    assert other_machine(block, later) is None


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("cpu", "model"), "another", "CPU was"),
        (("cpu", "available_cores"), 512, "usable cores was"),
        (("software", "libraries", "torch"), "0.1", "torch was"),
        (("gpu", "devices"), [{"name": "NVIDIA H200"}], "GPUs were"),
    ],
)
def test_what_makes_times_incomparable_is_named(path, value, says):
    block = machine()
    other = copy.deepcopy(block)
    inner = other
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert says in other_machine(block, other)
