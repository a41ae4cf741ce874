"""The table of inference: all ways to compute a net beside one another, in the width of a page."""

import csv
import io

import pytest

from fastbs.analysis.bench_document import bench_document
from fastbs.rendering.bench import render_bench
from fastbs.rendering.lines import WIDTH

MACHINE = {"cpu": {"model": "AMD EPYC 9354"}, "gpu": {"devices": [{"name": "NVIDIA H200"}]}}
NET = {"model": "resnet18", "precision": "fp16", "trained_at": 32}
ON_CARD = {"h2d_seconds": 1.2e-5, "compute_seconds": 2.1e-4, "d2h_seconds": 4e-6, "enqueue_seconds": 9e-5}
SIZES = [1, 2, 4, 8, 16, 32, 64]


def cell(backend, size, net=NET, graph=False, **other):
    identity = {**net, **other, "backend": backend, "cuda_graph": graph, "batch_size": size}
    return {"question": "inference", "identity": identity}


def ok(size, calls=40, parts=None, speed=1.0):
    pass_seconds = speed * (1e-3 + 1e-4 * size)
    latency = [round(1e3 * pass_seconds * (1 + 0.01 * k), 4) for k in range(calls)]
    value = {
        "images": size,
        "load_seconds": 0.5,
        "first_seconds": 0.1,
        "latency_seconds": [call / 1e3 for call in latency],
        **(parts or {}),
    }
    value["memory"] = {"resident_bytes": 300 << 20}
    return [
        {
            "process": k,
            "status": "ok",
            "reason": None,
            "value": value | {"blocks": [[9, 9 * f * pass_seconds, 0, 1980]]},
        }
        for k, f in enumerate((1.0, 0.9, 1.1))
    ]


def bad(status, reason):
    return [{"process": 0, "status": status, "reason": reason, "value": None}]


def render(cells, outcomes, style="table", device="cpu"):
    settings = {"device": device, "threads": 2}
    document = bench_document(cells, outcomes, settings=settings, machine=MACHINE, timed="calls one by one")
    return render_bench(document, style)


def table(text):
    lines = [line.strip("|") for line in text.splitlines() if line.startswith("|")]
    header, _, *body = [[cell.strip() for cell in line.split("|")] for line in lines]
    return [dict(zip(header, cells, strict=True)) for cells in body]


def test_ways_to_compute_stand_side_by_side_at_each_batch_size():
    cells = [cell(backend, size) for backend in ("onnx", "eager") for size in (8, 1)]
    rows = table(render(cells, [ok(8), ok(1), ok(8, speed=2.0), ok(1, speed=2.0)], "markdown"))
    assert [(row["batch"], row["net"]) for row in rows] == [
        ("1", "onnx"),
        ("1", "eager"),
        ("8", "onnx"),
        ("8", "eager"),
    ]
    assert rows[0]["p50 ms"] == "1.31" and rows[0]["p99"] == "1.53" and rows[0]["first ms"] == "100"
    assert [row["of best"] for row in rows] == ["20 %", "10 %", "best", "50 %"]


def test_the_headline_says_what_all_rows_share_and_columns_what_they_do_not():
    alike = render([cell("onnx", 1), cell("onnx", 8)], [ok(1), ok(8)])
    assert alike.startswith("inference: resnet18 · fp16 · trained at 32 · cpu (AMD EPYC 9354) · 2 threads")
    cells = [cell("onnx", 1), cell("onnx", 1, trained_at=8, precision="fp32")]
    text = render(cells, [ok(1)] * 2, "markdown")
    assert text.startswith("inference: resnet18 · cpu")
    assert [row["net"] for row in table(text)] == ["onnx fp16 of 32", "onnx fp32 of 8"]
    new = {"trained_at": None}
    assert render([cell("eager", 1, **new)], [ok(1)]).startswith("inference: resnet18 · fp16 · cpu")
    graphs = [cell("eager", 1, graph=graph) for graph in (False, True)]
    assert [row["net"] for row in table(render(graphs, [ok(1)] * 2, "markdown"))] == ["eager", "eager, graph"]
    assert "fp16 · trained at 32 · CUDA graph · cpu" in render(graphs[1:], [ok(1)])


def test_what_cannot_run_says_so_in_its_row_and_why_once():
    cells = [cell("onnx", 1), *(cell("tensorrt", size) for size in (1, 8)), cell("eager", 8)]
    mixed = [*ok(1)[:1], {"process": 1, "status": "oom", "reason": "no room", "value": None}]
    text = render(cells, [ok(1), *[bad("unsupported", "no card")] * 2, mixed], "markdown")
    assert [row["images/s"] for row in table(text)][1:3] == ["unsupported"] * 2
    assert "- tensorrt at 1, 8: unsupported: no card" in text
    assert "- eager at 8: 1 ok, 1 oom: no room" in text


def test_few_calls_have_no_99th_percentile_and_it_is_said():
    text = render([cell("onnx", 1), cell("onnx", 8)], [ok(1, calls=33), ok(8, calls=34)], "markdown")
    assert [row["p99"] == "-" for row in table(text)] == [True, False]
    assert "- no p99 from fewer than 100 calls: onnx at 1\n" in text


def test_a_card_shows_copies_and_where_the_host_is_the_slower_one():
    slow_host = ON_CARD | {"enqueue_seconds": 5e-4}
    cells = [cell("eager", 1), cell("eager", 8), cell("tensorrt", 1)]
    text = render(cells, [ok(1, parts=slow_host), ok(8, parts=slow_host), ok(1, parts=ON_CARD)], "markdown", "cuda")
    first = table(text)[0]
    assert (first["H2D+net+D2H us"], first["enqueue"]) == ("12+210+4.0", "500")
    assert "- host-bound, enqueueing takes longer than computing: eager at 1, 8" in text


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_whole_sweep_fits_on_the_page(device):
    parts = ON_CARD if device == "cuda" else None
    named = "tensorrt-rtx" if device == "cuda" else "onnx"
    cells = [
        cell(backend, size, trained_at=trained)
        for trained in (8, 128)
        for backend in (named, "eager", "compile")
        for size in SIZES
    ]
    outcomes = [ok(cell["identity"]["batch_size"], parts=parts, speed=3.0) for cell in cells]
    outcomes[6] = bad("unsupported", "the artefact takes batch sizes 1..32, tuned for 8 " + "and so on " * 20)
    text = render(cells, outcomes, device=device)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "pass =" not in text  # six lines for two nets that differ in their weights only


def test_one_net_has_its_fits():
    text = render([cell("onnx", size) for size in SIZES], [ok(size) for size in SIZES])
    assert " onnx: pass = 1.0 [" in text and "load ms, before the first call: onnx 500" in text


def test_csv_has_the_percentiles_but_not_every_call():
    lines = list(csv.DictReader(io.StringIO(render([cell("onnx", 1)], [ok(1)], "csv"))))
    assert lines[0]["latency.calls"] == "120" and "latency_samples_ms" not in lines[0]
    assert lines[0]["backend"] == "onnx" and lines[0]["trained_at"] == "32"
