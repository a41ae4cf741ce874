import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.rendering.deployed import deployed_lines

ORT = {"name": "onnxruntime 1.32.0 on the CPU", "images": 449, "checks": 5}


def row(size, to="onnx", precision="fp32", *, p99=None, machine="AMD EPYC 9B14", graph=False, **more):
    """A row of `analysis.deployed_rows` of five artefacts; `p99` in ms by inference batch size."""
    cells = [
        {
            "machine": machine,
            "cuda_graph": graph,
            "batch_size": batch,
            "status_counts": {"ok": 5},
            "reason": None,
            "p50_ms": 0.8 * ms,
            "p99_ms": ms,
            "images_per_second": 1e3 * batch / (0.8 * ms),
        }
        for batch, ms in (p99 or {}).items()
    ]
    values = {"batch_size": size, "arm": "main", "to": to, "precision": precision, "exported": 5, "evaluators": [ORT]}
    values |= {"checks": {"ok": 5, "failed": 0, "not made": 0, "stale": 0}, "engines": {"run": 0, "built, not run": 0}}
    values |= {"failures": [], "other_images": 0, "top1_trained": 0.948, "top1": 0.948, "agreement": 1.0, "flips": 0}
    values |= {"error": 1.8e-6, "latencies": {"made": 5, "not made": 0, "stale": 0}, "latency": cells}
    return values | more


UNCHECKED = {"checks": {"ok": 0, "failed": 0, "not made": 5, "stale": 0}, "evaluators": []}
UNCHECKED |= dict.fromkeys(("top1", "top1_trained", "agreement", "flips", "error"))
FAILED = {"checks": {"ok": 4, "failed": 1, "not made": 0, "stale": 0}, "flips": 9, "agreement": 1 - 9 / 2245}
FAILED |= {"top1": 0.9452, "error": 0.031, "failures": ["runs/b0008-s3/deployed/onnx-fp16: 9 of 449 images differ"]}
UNRUN = {"engines": {"run": 0, "built, not run": 5}, "error": 0.0013}
LEGEND = """\
 checked: artefacts that passed, of those exported; top1: trained/exported; error: largest difference of a logit, over
   the spread of the trained net's logits"""


def test_the_table_holds_what_was_exported_checked_and_measured_and_says_the_rest_below():
    times = {1: 0.25, 2: 0.4, 8: 1.2, 32: 4.2, 64: 9.0}
    rows = [
        row(1, p99=times),
        row(8, p99=times),
        row(8, precision="fp16", p99={1: 0.5, 32: 8.0, 64: 12.0}, **FAILED),
        row(8, "tensorrt-rtx", "fp16", **UNRUN),
        row(64, precision="bf16", **UNCHECKED),
    ]
    assert "\n".join(deployed_lines(rows, "table", " ")) == (
        """\
Deployed
  batch  net                     checked       top1    agree    flips    error             at 1            at 32
      1  onnx fp32                5/5 ok  .948/.948    100 %        0  1.8e-06  .200/.250 5,000  3.36/4.20 9,524
      8  onnx fp32                5/5 ok  .948/.948    100 %        0  1.8e-06  .200/.250 5,000  3.36/4.20 9,524
      8  onnx fp16                4/5 ok  .948/.945   99.5 %        9    0.031  .400/.500 2,500  6.40/8.00 5,000
      8  tensorrt-rtx fp16  5/5 graph ok  .948/.948    100 %        0   0.0013                -                -
     64  onnx bf16                   0/5          -        -        -        -                -                -
 onnx fp16: 1 of 5 failed the check (batch 8)
 tensorrt-rtx fp16: engine built, not run; what was checked is the graph it was built from (batch 8)
 onnx bf16: 5 of 5 not checked (batch 64)
 runs/b0008-s3/deployed/onnx-fp16: 9 of 449 images differ
 checked by onnxruntime 1.32.0 on the CPU (449 images): onnx fp32, onnx fp16, tensorrt-rtx fp16
"""
        + LEGEND
        + """
 at N: p50/p99 ms of an inference batch of N, and images/s; medians over artefacts, on AMD EPYC 9B14; also measured at
   2, 8, 64: see --format json"""
    )


def test_three_inference_batch_sizes_fit_beside_the_names_of_the_embedded_default():
    [_, head, line, *_] = deployed_lines([row(1, p99={1: 0.25, 2: 0.4, 8: 1.2, 32: 4.2, 64: 9.0})], "table", " ")
    assert head.split()[-6:] == ["at", "1", "at", "32", "at", "64"]
    assert line.split()[-6:] == [".200/.250", "5,000", "3.36/4.20", "9,524", "7.20/9.00", "8,889"]


SIZES = st.dictionaries(st.sampled_from([1, 2, 3, 16, 1024]), st.floats(0.001, 1e5))
ROWS = st.lists(
    st.builds(
        lambda size, to, p99, machine, graph, more: row(size, to, p99=p99, machine=machine, graph=graph, **more),
        st.sampled_from([1, 8, 16384]),
        st.sampled_from(["onnx", "torch-tensorrt"]),
        SIZES,
        st.sampled_from(["AMD EPYC 9B14 " + "96-Core Processor " * 9, "NVIDIA H200", None]),
        st.booleans(),
        st.sampled_from([{}, UNCHECKED, FAILED, UNRUN, {"arm": "same-updates"}]),
    ),
    min_size=1,
    max_size=6,
)


@given(ROWS)
def test_no_line_is_wider_than_a_terminal_and_every_row_is_there(rows):
    lines = deployed_lines(rows, "table", " ")
    assert all(len(line) <= 120 for line in lines)
    assert lines[0] == "Deployed" and not any("None" in line or "nan" in line for line in lines)
    for line, each in zip(lines[2 : 2 + len(rows)], rows, strict=True):
        assert line.split()[0].rstrip(",") == f"{each['batch_size']:,}" and each["to"] in line


@given(ROWS)
def test_every_measured_size_is_in_the_table_or_named_as_left_out(rows):
    text = " ".join(" ".join(deployed_lines(rows, "table", " ")).split())
    head, _, rest = text.partition("at N:")
    for size in {cell["batch_size"] for each in rows for cell in each["latency"]}:
        named = rest.partition("also measured at ")[2].partition(":")[0].split(", ")
        assert (f" at {size:,} " in head) != (f"{size:,}" in named)


def test_of_many_sizes_the_smallest_the_fastest_and_the_largest_are_shown():
    [_, head, *_] = deployed_lines([row(1, p99={1: 1.0, 2: 1.0, 4: 1.0, 8: 1.0, 16: 10.0})], "table", " ")
    assert [part.strip() for part in head.split("at ")[1:]] == ["1", "8", "16"]
    [_, head, *_] = deployed_lines([row(1, p99={2: 1.0, 4: 1.0})], "table", " ")
    assert [part.strip() for part in head.split("at ")[1:]] == ["2", "4"]


def test_machines_and_cuda_graphs_have_rows_of_their_own_and_machines_a_column_where_they_differ():
    both = row(1, "tensorrt", "fp16", p99={1: 1.0})
    both["latency"] += row(1, p99={1: 0.5}, graph=True)["latency"]
    lines = deployed_lines([both], "table", " ")
    assert "tensorrt fp16 " in lines[2] and "tensorrt fp16, graph " in lines[3] and " on " not in lines[1]
    two = deployed_lines([row(1, p99={1: 1.0}), row(1, "tensorrt", p99={1: 0.5}, machine="H200")], "table", " ")
    assert " on " in two[1] and "AMD EPYC 9B14" in two[2] and "H200" in two[3]


def test_a_single_flip_among_many_images_is_not_rounded_to_full_agreement():
    [_, _, line, *_] = deployed_lines([row(1, flips=1, agreement=1 - 1e-5)], "table", " ")
    assert " 99.9 % " in line


def test_sizes_that_could_not_be_measured_are_named_with_the_reason():
    failed = row(8, precision="bf16", p99={1: 1.0, 8: 1.0})
    for cell in failed["latency"]:
        cell |= {"status_counts": {"unsupported": 5}, "reason": "no bf16 on a CPU", "p99_ms": None, "p50_ms": None}
    lines = deployed_lines([failed], "table", " ")
    assert " onnx bf16: latency at 1, 8: 5 unsupported: no bf16 on a CPU (batch 8)" in lines


@pytest.mark.parametrize("machine", ["a | b", "a\n|---|\x1b[31m"])
def test_no_name_breaks_the_markdown_table(machine):
    rows = [row(1, p99={1: 1.0}, machine=machine), row(8, "on|nx", p99={1: 1.0}), row(64, failures=["x\n| y"])]
    lines = deployed_lines(rows, "markdown", "- ")
    assert lines[:3] == ["", "Deployed", ""] and lines[8] == ""
    assert len({line.count("|") for line in lines[3:8]}) == 1 and all(line.startswith("|") for line in lines[3:8])
    assert all(line.startswith(("- ", "   ")) for line in lines[9:])
