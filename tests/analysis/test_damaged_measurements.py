"""Any damage to a document that could be read: the side is made, or it is refused on one line."""

import copy
import dataclasses
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbs.analysis.comparison.metrics import METRICS
from fastbs.analysis.comparison.sides import make_side
from fastbs.errors import BadInput
from fastbs.results.measurement_files import MeasurementFile
from fastbs.results.record import Evaluation, Result, RunRecord

JUNK = (
    None,
    True,
    -1,
    0,
    1e308,
    math.nan,
    math.inf,
    10**400,
    "",
    "x\ny|<b>",
    "\ud800",
    [],
    {},
    [[]],
    {"a": {}},
    [None],
)
ROW = {"status": "ok", "reason": None, "block_seconds": [[0.01, 0.02], [0.03]], "memory": {"resident_bytes": 9}}
ROW |= {"energy_joules_per_image": 0.1, "sm_clock_mhz": 1980.0, "throttled_share": 0.0}
STEP = {"question": "throughput", "model": "small", "precision": "bf16", "loader": "dali", "step": "eager"}
CURVE = STEP | {"input": "real", "allocator": "fastbs"}
ACCURACY = ROW | {"block_seconds": [[]], "seconds_to_target": [1.0, None], "top1_by_process": [0.5], "top1": 0.5}
CARD = {"name": "H200", "memory_bytes": 150 << 30, "mig": False, "ecc": True, "power_limit_watts": 700.0}
MACHINE = {
    "gpu": {"driver": "580.1", "devices": [CARD]},
    "cpu": {"model": "EPYC", "allocator": {"name": "glibc", "glibc": "2.36", "settings": {"A": "1"}}},
    "software": {"libraries": {"torch": "2.13.0"}, "container": {"A": "1"}, "source": {"commit": "a", "dirty": False}},
}
BENCH = {
    "protocol": 1,
    "settings": {
        "plan": {"optimizer": "sgd", "target": 0.75, "epochs": 5, "lr": 0.001},
        "device": "cuda",
        "threads": 2,
        "dataset": {"fingerprint": "f08d"},
        "models": {"small": {"image_size": 64, "norm": "group"}},
    },
    "machine": MACHINE,
    "rows": [
        CURVE | ROW | {"batch_size": 8},
        CURVE | ROW | {"batch_size": 16, "status": "oom", "reason": "too large", "block_seconds": []},
        ROW | {"question": "update", "model": "small", "optimizer": "sgd", "implementation": "fused"},
        ACCURACY | STEP | {"question": "accuracy", "batch_size": 8},
    ],
    "curves": [CURVE | {"knee": 4.5, "within_5_percent": 16}],
}
FOREIGN = {
    "benchmarks": [
        {
            "fullname": "t[8]",
            "params": {"bs": 8, "p": "x"},
            "param": "8",
            "stats": {"median": 0.1, "iqr": 0.1, "rounds": 3},
        },
        {"fullname": "u", "params": None, "param": None, "stats": {"median": 0.1, "data": [0.1, 0.2]}},
    ],
    "machine_info": {"cpu": {"brand_raw": "EPYC"}, "system": "Linux"},
    "commit_info": {"id": "a", "dirty": False},
}
RESULT = {field.name: 1 for field in dataclasses.fields(Result)}
EVALUATION = {field.name: 1 for field in dataclasses.fields(Evaluation)}
RUNS = tuple(
    RunRecord(
        id=f"b8-s{seed}",
        arm="main",
        batch_size=8,
        seed=seed,
        lr=0.1,
        status="ok",
        result=Result(**RESULT),
        evaluations=(Evaluation(**EVALUATION),),
    )
    for seed in range(2)
)
SWEEP = {
    "resolved": {"run": STEP | {"target": 0.75, "epochs": 1.0, "device": "cpu", "init": None}, "lr_rule": "linear"},
    "norm": "group",
    "dataset": {"fingerprint": "f08d"},
    "machine": MACHINE,
}
VALID = {
    "bench": MeasurementFile("f", "bench", {"fastbs": BENCH}),
    "foreign": MeasurementFile("f", "foreign", FOREIGN),
    "sweep": MeasurementFile("f", "sweep", SWEEP, RUNS),
}


def places(value, path=()):
    """The path of everything inside."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inside:
        yield (*path, key)
        yield from places(child, (*path, key))


def spoiled(document, changes):
    """A copy in which what lies at each path is replaced, or taken away."""
    document = copy.deepcopy(document)
    for path, remove, junk in changes:
        holder = document
        try:
            for key in path[:-1]:
                holder = holder[key]
            if remove:
                del holder[path[-1]]
            else:
                holder[path[-1]] = copy.deepcopy(junk)
        except (KeyError, IndexError, TypeError):  # another change has taken the place away
            continue
    return document


def is_used_or_refused(file):
    """What a side holds can be compared; what cannot be used is refused on one printable line."""
    try:
        side = make_side([file])
    except BadInput as error:
        assert str(error).isprintable() and len(str(error)) < 400
        return
    hash(tuple(record.key for record in side.records))
    json.dumps([list(side.workload.items()), list(side.machine.items()), side.commit], allow_nan=False).encode()
    for row in side.records:
        for metric, sample in row.samples.items():
            assert metric in METRICS and sample.values and hash(sample.exact) is not None
            assert all(value > 0 or metric == "top1" for value in sample.values)
            assert metric == "time_to_target_s" or all(map(math.isfinite, sample.values))
            assert sample.within is None or 0 <= sample.within < math.inf


@pytest.mark.parametrize("kind", VALID)
def test_what_is_not_damaged_is_used(kind):
    assert all(row.samples or row.status != "ok" for row in make_side([VALID[kind]]).records)


@pytest.mark.parametrize("kind", VALID)
def test_no_single_damage_makes_anything_but_a_refusal(kind):
    valid = VALID[kind]
    for path in places(valid.document):
        for remove, junk in [(True, None), *((False, junk) for junk in JUNK)]:
            document = spoiled(valid.document, [(path, remove, junk)])
            is_used_or_refused(MeasurementFile("f", kind, document, valid.runs))


@given(st.sampled_from(sorted(VALID)), st.data())
@settings(max_examples=300)
def test_no_damage_in_several_places_makes_anything_but_a_refusal(kind, data):
    valid = VALID[kind]
    anywhere = st.tuples(
        st.sampled_from(list(places(valid.document))),
        st.booleans(),
        st.sampled_from(JUNK) | st.recursive(st.floats() | st.text(), st.lists),
    )
    document = spoiled(valid.document, data.draw(st.lists(anywhere, min_size=2, max_size=5)))
    is_used_or_refused(MeasurementFile("f", kind, document, valid.runs))
