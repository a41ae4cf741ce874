import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.analysis.comparison.differences import TIERS, differences
from fastbs.analysis.comparison.machine_facts import BLOCK, FLAG
from fastbs.analysis.comparison.records import Side
from fastbs.errors import BadInput

WORKLOAD = {"threads": 2, "device": "cuda", "throughput.small.norm": "group"}
MACHINE = {"gpu": "H200", "gpu_count": 1, "driver": "580.1", "torch": "2.13.0", "cpu": "EPYC"}
facts = st.dictionaries(st.sampled_from([*BLOCK, *FLAG]), st.none() | st.sampled_from(["a", "b"]))
workloads = st.dictionaries(st.sampled_from(sorted(WORKLOAD)), st.none() | st.sampled_from([1, 2]))
sides = st.builds(lambda workload, machine: side(workload, machine), workloads, facts)


def side(workload=WORKLOAD, machine=MACHINE):
    return Side(files=("a",), records=(), workload=workload, machine=machine)


def found(base, head, allow=()):
    return [(each["tier"], each["name"], each["allowed"]) for each in differences(base, head, allow)]


@given(sides)
def test_a_side_does_not_differ_from_itself(one):
    assert differences(one, one, ()) == []


@given(sides, sides)
def test_swapping_the_sides_swaps_the_values_and_nothing_else(base, head):
    swapped = [each | {"base": each["head"], "head": each["base"]} for each in differences(head, base, ())]
    assert differences(base, head, ()) == swapped


@given(sides, sides)
def test_blocks_come_first_and_what_is_unknown_is_only_a_note(base, head):
    there = differences(base, head, ())
    tiers = [each["tier"] for each in there]
    assert tiers == sorted(tiers, key=TIERS.index)
    for each in there:
        assert each["base"] != each["head"]
        assert (each["tier"] == "note") == (None in (each["base"], each["head"]))


def test_workload_and_cards_block_and_software_flags():
    head = side(WORKLOAD | {"threads": 4}, MACHINE | {"gpu": "H100", "driver": "570.2", "cpu": None, "torch": "2.14.0"})
    assert found(side(), head) == [
        ("block", "workload.threads", False),
        ("block", "gpu", False),
        ("flag", "driver", False),
        ("flag", "torch", False),
        ("note", "cpu", False),
    ]
    assert differences(side(), head, ())[1] == {
        "tier": "block",
        "name": "gpu",
        "base": "H200",
        "head": "H100",
        "allowed": False,
    }


def test_every_fact_has_one_tier():
    assert not set(BLOCK) & set(FLAG)
    for name in (*BLOCK, *FLAG):
        tier = "block" if name in BLOCK else "flag"
        assert found(side(machine={name: 1}), side(machine={name: 2})) == [(tier, name, False)]


def test_what_is_allowed_is_allowed_by_its_name_or_as_a_part_of_the_workload():
    head = side(WORKLOAD | {"threads": 4, "device": "cpu"}, MACHINE | {"gpu": "H100"})
    assert found(side(), head, ["workload.threads"]) == [
        ("block", "workload.device", False),
        ("block", "workload.threads", True),
        ("block", "gpu", False),
    ]
    assert [allowed for *_, allowed in found(side(), head, {"workload", "gpu"})] == [True, True, True]


def test_what_one_side_does_not_have_decides_nothing():
    assert found(side(), side({"threads": 2}, {"cpu": "EPYC"})) == []


def test_an_unknown_name_is_refused_with_those_that_are_known():
    with pytest.raises(BadInput, match="^allow: gqu is unknown; known: gpu, .*driver.*workload, workload.device"):
        differences(side(), side(), ["gqu"])
    with pytest.raises(BadInput) as refused:
        differences(side({"a\nb": 1}), side(), ["\x1b[31m"])
    assert str(refused.value).isprintable()
    assert found(side(), side(), [*BLOCK, *FLAG, "workload", "workload.threads"]) == []
