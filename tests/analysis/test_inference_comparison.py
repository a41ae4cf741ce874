"""Rows of inference in two files: which are the same, and latencies as what is compared."""

import json

import numpy as np
import pytest

from fastbs.analysis.bench_document import bench_document
from fastbs.analysis.comparison.compare import compare
from fastbs.analysis.comparison.gate import Gate
from fastbs.analysis.comparison.names import name_of
from fastbs.analysis.comparison.options import Options
from fastbs.analysis.comparison.sides import make_side
from fastbs.errors import BadInput
from fastbs.results.measurement_files import MeasurementFile

CELL = {"model": "small", "precision": "fp16", "trained_at": 8, "backend": "tensorrt"}
CELL |= {"cuda_graph": False, "batch_size": 4}
ARTIFACT = {name: CELL[name] for name in ("model", "precision", "trained_at", "backend")}


def ok(process, latency_ms=()):
    value = {"images": 4, "blocks": [[10, 0.1, 0, None]] * 2, "latency_seconds": [call / 1e3 for call in latency_ms]}
    return {"process": process, "status": "ok", "reason": None, "value": value}


def file(*rows, artifacts=(), **changes):
    """A bench file; rows are (changes of CELL, outcomes)."""
    cells = [{"question": "inference", "identity": CELL | other} for other, _ in rows]
    settings = {"device": "cuda", "threads": 1, "artifacts": list(artifacts)}
    document = bench_document(cells, [outcomes for _, outcomes in rows], settings=settings, machine={}, timed="")
    return MeasurementFile("a.json", "bench", json.loads(json.dumps({"fastbs": document | changes})))


def compared(base, head, **options):
    document = compare(make_side([base]), make_side([head]), options=Options(**options), gate=Gate(()))
    return {row["verdict"] for row in document["rows"]}


@pytest.mark.parametrize(
    "other",
    [{"backend": "eager"}, {"trained_at": 16}, {"cuda_graph": True}, {"precision": "fp32"}],
    ids=lambda other: next(iter(other)),
)
def test_another_net_or_way_to_compute_it_is_another_row(other):
    outcomes = [ok(k, [1.0] * 100) for k in range(3)]
    assert compared(file(({}, outcomes)), file((other, outcomes))) == {"missing", "new"}
    assert compared(file(({}, outcomes)), file(({}, outcomes))) == {"same"}


def test_rows_of_before_backends_were_named_match_nothing():
    old = file(({}, [ok(0, [1.0])]))
    found = old.document["fastbs"]["rows"][0]
    found["step"] = "eager"
    del found["backend"]
    with pytest.raises(BadInput, match="backend: missing; measure again"):
        make_side([old])


def test_an_engine_tuned_for_other_sizes_is_another_workload_and_a_graph_is_not_tuned():
    def side(backend, profiles):
        artifact = ARTIFACT | {"backend": backend, "profiles": profiles}
        return make_side([file(({"backend": backend}, [ok(0, [1.0])]), artifacts=[artifact])]).workload

    assert side("tensorrt", "1..32, tuned for 8") != side("tensorrt", "1..32, tuned for 1")
    assert side("onnx", "1..32, tuned for 8") == side("onnx", "1..64, tuned for 8")


def test_latencies_are_compared_process_by_process_when_asked_for():
    draw = np.random.default_rng(0)
    calls = [[round(float(call), 4) for call in draw.lognormal(0, 0.1, 200)] for _ in range(5)]
    samples = make_side([file(({}, [ok(k, each) for k, each in enumerate(calls)]))]).records[0].samples
    assert samples["latency_p50_ms"].values == pytest.approx([np.percentile(each, 50) for each in calls])
    assert samples["latency_p99_ms"].values == pytest.approx([np.percentile(each, 99) for each in calls])
    slower = [[2 * call for call in each] for each in calls]
    base, head = (file(({}, [ok(k, each) for k, each in enumerate(some)])) for some in (calls, slower))
    assert compared(base, head, metrics=["latency_p99_ms"]) == {"slower"}
    few = make_side([file(({}, [ok(0, calls[0]), ok(1, calls[1][:50])]))]).records[0].samples
    assert "latency_p50_ms" in few and "latency_p99_ms" not in few


def test_a_row_is_named_in_words():
    key = (("question", "inference"), *CELL.items())
    assert name_of(key) == "inference small fp16 trained at 8 tensorrt"
    assert name_of((*key[:-2], ("cuda_graph", True))).endswith("tensorrt CUDA graph")
