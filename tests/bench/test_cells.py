"""What is measured for a plan: every combination once, named, and callable with what it is given."""

import importlib
import inspect
import itertools

import pytest

from fastbs.analysis.bench_identity import IDENTITY
from fastbs.bench.cells import make_cells
from fastbs.bench.plan import QUESTIONS, BenchPlan
from fastbs.bench.setting import open_setting
from fastbs.errors import BadInput


@pytest.fixture(scope="module")
def planned(photos):
    plan = BenchPlan(
        questions=QUESTIONS,
        data=str(photos),
        batch_sizes=(1, 8),
        precisions=("fp32",),
        allocators=("fastbs", "default"),
        function="somewhere:make",
        threads=1,
    )
    with open_setting(plan) as setting:
        yield plan, make_cells(plan, setting)


def everything(planned):
    return list(itertools.chain.from_iterable(planned[1].values()))


def test_every_cell_has_a_name_of_its_own(planned):
    names = [cell.id for cell in everything(planned)]
    assert len(names) == len(set(names))


def test_every_cell_is_identified_by_the_keys_of_its_question(planned):
    for cell in everything(planned):
        assert tuple(cell.identity) == IDENTITY[cell.question], cell.id


def test_every_target_takes_the_arguments_that_its_cell_gives(planned):
    for cell in everything(planned):
        module, _, function = cell.target.partition(":")
        inspect.signature(getattr(importlib.import_module(module), function)).bind(**cell.arguments)


def test_throughput_is_measured_for_every_combination(planned):
    plan, cells = planned
    found = {(c.identity["loader"], c.identity["allocator"], c.identity["batch_size"]) for c in cells["throughput"]}
    assert found == set(itertools.product(("dali", "synthetic"), plan.allocators, plan.batch_sizes))


def test_a_round_gives_all_its_cells_the_same_seed(planned):
    for cell in everything(planned):
        arguments = cell.in_round(7).arguments
        assert arguments.get("seed", 7) == 7 and arguments.get("config", {"seed": 7})["seed"] == 7
        assert cell.in_round(7).identity == cell.identity


def test_the_default_allocator_is_that_of_a_process_without_our_settings(planned):
    for cell in planned[1]["throughput"]:
        assert bool(cell.env) == (cell.identity["allocator"] == "default")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"questions": ("speed",)}, "question: 'speed' is unknown"),
        ({"processes": 0}, "processes: 0"),
        ({"batch_sizes": (0,)}, "batch-sizes: 0"),
        ({"block_seconds": float("nan")}, "block-seconds"),
        ({"questions": ("step",)}, "--function"),
        ({"questions": ("update",), "find_max": True}, "find-max"),
    ],
)
def test_a_plan_that_cannot_be_measured_is_refused_by_name(settings, said):
    with pytest.raises(BadInput, match=said):
        BenchPlan(**settings)
