"""The table of addresses: filled once for addresses that come back, and never changed under a captured graph."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fastbs.errors import BadInput
from fastbs.kernels import tensor_table
from fastbs.kernels.tensor_table import ADDRESSES, SLOTS, TensorTable

CPU = torch.device("cpu")
SIZES, GROUPS = [3, 5], [0, 1]


class Copies(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.large = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.large += function.overloadpacket is torch.ops.aten.copy_ and args[0].shape == (8, len(SIZES))
        return function(*args, **kwargs or {})


def addresses(number):
    return tuple(1000 * number + 16 * place for place in range(ADDRESSES * len(SIZES)))


@pytest.fixture
def capture(monkeypatch):
    """Says whether launches are captured, as a card's stream does."""
    now = {"captured": False}
    monkeypatch.setattr(tensor_table, "is_captured", lambda device: now["captured"])
    return lambda captured: now.update(captured=captured)


def copies(table, number):
    with Copies() as counted:
        rows = table.at(addresses(number))
    assert rows[:ADDRESSES].flatten().tolist() == list(addresses(number))
    assert rows[ADDRESSES:7].tolist() == [SIZES, GROUPS]
    return counted.large


def test_addresses_that_come_back_are_copied_once():
    table = TensorTable(SIZES, GROUPS, CPU)
    assert [copies(table, number) for number in (1, 2, 1, 2, 1)] == [1, 1, 0, 0, 0]


def test_the_addresses_looked_up_longest_ago_make_room():
    table = TensorTable(SIZES, GROUPS, CPU)
    for number in range(SLOTS):
        copies(table, number)
    assert copies(table, 0) == 0
    copies(table, SLOTS)
    assert (copies(table, 0), copies(table, 1)) == (0, 1)


@pytest.mark.parametrize("known", [False, True])
def test_what_a_graph_reads_stays(capture, known):
    """Also where the addresses were known before the capture."""
    table = TensorTable(SIZES, GROUPS, CPU)
    if known:
        copies(table, 1)
    capture(True)
    assert copies(table, 1) == (not known)
    read_at_replay = table.at(addresses(1))
    capture(False)
    for number in range(2, 3 * SLOTS):
        copies(table, number)
    assert read_at_replay[:ADDRESSES].flatten().tolist() == list(addresses(1))


def test_a_copy_that_was_captured_has_not_been_made(capture):
    """It is made at every replay: who comes before the first one must copy."""
    table = TensorTable(SIZES, GROUPS, CPU)
    capture(True)
    assert (copies(table, 1), copies(table, 1)) == (1, 1)
    capture(False)
    assert (copies(table, 1), copies(table, 1)) == (1, 0)


def test_more_graphs_than_tables_are_refused(capture):
    table = TensorTable(SIZES, GROUPS, CPU)
    capture(True)
    for number in range(SLOTS - 1):
        copies(table, number)
    with pytest.raises(BadInput, match=f"{SLOTS} graphs of one optimizer"):
        table.at(addresses(SLOTS))
    capture(False)
    for number in range(100, 103):  # updates outside of graphs go on
        assert copies(table, number) == 1


def test_a_row_says_where_all_addresses_are_aligned():
    table = TensorTable(SIZES, GROUPS, CPU)
    shifted = list(addresses(2))
    shifted[3] += 4
    assert table.at(tuple(shifted))[7].tolist() == [1, 0] and table.at(addresses(2))[7].tolist() == [1, 1]
