import csv
import io
import itertools
import json

import pytest

from fastbs.analysis.bench_document import bench_document
from fastbs.rendering.bench import render_bench
from fastbs.rendering.lines import within_width
from fastbs.rendering.processor import processor

MACHINE = {"cpu": {"model": "AMD EPYC 9354"}, "gpu": {"devices": [{"name": "NVIDIA H200"}]}}
STEP = {"model": "small", "precision": "fp32", "step": "eager", "allocator": "fastbs"}
SIZES = [1, 2, 4, 8, 32, 128]
FLOOR = 5e-3


def line(size):
    return 1.2e-3 + 0.4e-3 * size


def cells(loader="synthetic", sizes=SIZES):
    source = {"loader": loader, "input": "synthetic" if loader == "synthetic" else "real"}
    return [{"question": "throughput", "identity": STEP | source | {"batch_size": size}} for size in sizes]


def ok(seconds, size, processes=3, **more):
    """Processes whose geometric mean is the time given: the others take 1 % less and more."""
    values = [
        {"images": size, "blocks": [[9, 9 * factor * seconds, 0, None]], **more}
        for factor in [1.0, 0.99, 1 / 0.99][:processes]
    ]
    return [{"process": k, "status": "ok", "reason": None, "value": value} for k, value in enumerate(values)]


def bad(status, reason):
    return [{"process": 0, "status": status, "reason": reason, "value": None}]


def render(cells, outcomes, style="table", device="cpu", **more):
    settings = {"device": device, "threads": 2}
    document = bench_document(cells, outcomes, settings=settings, machine=MACHINE, timed="blocks of 0.5 s")
    return render_bench(document | more, style)


def steps(truth=line, **more):
    return [ok(truth(size), size, **more) for size in SIZES]


def table_rows(text):
    """Cells of the first table, by their header."""
    from_first = itertools.dropwhile(lambda line: not line.startswith("|"), text.splitlines())
    lines = itertools.takewhile(lambda line: line.startswith("|"), from_first)
    header, _, *body = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(header, cells, strict=True)) for cells in body]


def test_rows_are_ranked_by_images_per_second_and_stand_in_order_of_batch_size():
    outcomes = steps(lambda size: line(size) if size < 128 else 2 * line(size))
    rows = table_rows(render(cells()[::-1], outcomes[::-1], "markdown"))
    assert [row["batch"] for row in rows] == ["1", "2", "4", "8", "32", "128"]
    assert [row["rank"] for row in rows] == ["6", "5", "3", "2", "1", "4"]
    assert [row["of best"] for row in rows][-2:] == ["best", "53 %"]
    fastest_step = min(rows, key=lambda row: float(row["step ms"].split()[0]))
    assert fastest_step["rank"] == "6"


def test_equal_speeds_share_a_rank():
    rows = table_rows(render(cells(sizes=[1, 2]), [ok(0.5, 1), ok(1.0, 2)], "markdown"))
    assert [row["rank"] for row in rows] == ["1", "1"]


def test_the_headline_says_what_ran_where():
    assert render(cells(), steps()).splitlines()[0] == (
        "throughput: small · fp32 · synthetic input · eager · cpu (AMD EPYC 9354) · 2 threads · 3 processes"
    )
    assert "cuda (NVIDIA H200)" in render(cells(), steps(), device="cuda")
    assert "default allocator" in render(
        [{"question": "throughput", "identity": cell["identity"] | {"allocator": "default"}} for cell in cells()],
        steps(),
    )


def test_columns_without_any_value_are_left_out():
    bare = table_rows(render(cells(), steps(), "markdown"))[0]
    assert list(bare) == ["batch", "step ms", "images/s", "rank", "of best", "off fit", "faults/image"]
    full = {
        "phases": {"forward": 1e-3, "update": 4e-4},
        "memory": {"reserved_bytes": 3 << 20},
        "energy_joules": 1.0,
        "throttled_share": 0.25,
    }
    found = table_rows(render(cells(), steps(**full), "markdown"))[0]
    assert found["update ms"] == "0.400 (25 %)" and found["memory"] == "3 MiB" and found["throttled"] == "25 %"
    assert found["mJ/image"] == "111"


def test_a_step_that_waits_for_its_input_is_marked():
    slower = [ok(1.3 * line(size), size) for size in SIZES]
    assert table_rows(render(cells("dali") + cells(), slower + steps(), "markdown"))[0]["input"] == "+30 % bound"
    little = [ok(1.03 * line(size), size) for size in SIZES]
    assert table_rows(render(cells("dali") + cells(), little + steps(), "markdown"))[0]["input"] == "+3 %"


def test_the_form_of_the_fit_is_said():
    text = render(cells(), steps())
    assert "step = 1.20 [" in text and "ms/image, a line (worst residual 0 %)" in text
    assert "B_half 3.000 [" in text and "knee" not in text
    phases = {"update": 0.4e-3, "forward": 1e-3}
    slow_host = steps(lambda size: max(FLOOR, line(size)), phases=phases, host_seconds=4.8e-3)
    floored = render(cells(), slow_host, device="cuda")
    assert "a line with a floor of 5.00 ms: the host" in floored and "knee at 9.50" in floored
    fast_host = steps(lambda size: max(FLOOR, line(size)), phases=phases, host_seconds=0.2e-3)
    assert "a floor of 5.00 ms (worst" in render(cells(), fast_host, device="cuda")  # a card that is not filled
    on_cpu = render(cells(), steps(lambda size: max(FLOOR, line(size))))
    assert "a floor of 5.00 ms (worst" in on_cpu  # there is no device that could have been faster


def test_the_smallest_size_close_to_the_best_is_named():
    assert "most images/s at 128, no smaller one is within 5 % of it" in render(cells(), steps())
    flat = steps(lambda size: 1e-6 + 0.4e-3 * size)
    assert "1 is the smallest within 5 % of it" in render(cells(), flat)


def test_the_fixed_time_is_shown_part_by_part_also_when_they_overlap():
    phases = {"update": 4e-4, "forward": 1e-3}
    text = render(cells(), steps(phases=phases, operators=100, operator_seconds=5e-6))
    assert "fixed 1.20 ms: update 0.400, host at least 0.500 (operators x cost of one), rest 0.300" in text
    assert "update's time: +0.0 % [+0.0, +0.0] per doubling of batch size: no dependence on batch size seen" in text
    assert (
        "phases at 1: update 0.400 + forward 1.00 ms, of 1.60 that the step takes alone; unexplained 0.200 (12 %)"
        in text
    )
    assert "phases at 128: " in text and "phases at 8: " not in text
    overlapping = render(cells(), steps(phases=phases, host_seconds=1.1e-3), device="cuda")
    assert "host 1.10 (enqueue), rest 0.800 (host and card side by side: the slower one counts)" in overlapping


def test_a_row_that_is_not_ok_says_why_and_cannot_break_the_table():
    outcomes = [*steps()[:-1], bad("oom", "Unable to allocate\n\x1b[31m9 GiB")]
    text = render(cells(), outcomes, "markdown")
    rows = table_rows(text)
    assert [row["processes"] for row in rows] == ["3 ok"] * 5 + ["1 oom"]
    assert rows[-1]["images/s"] == rows[-1]["rank"] == "-"
    assert "- 128: oom: Unable to allocate [31m9 GiB" in text
    assert "no fit of step time: no batch size is ok" in render(cells(), [bad("failed", "x")] * 6)


def test_one_process_shows_no_interval():
    text = render(cells(), steps(processes=1, phases={"update": 4e-4}))
    assert "±" not in text and "1.20 ms fixed + 0.400 ms/image" in text and "one process: no interval" in text


def test_updates_of_a_model_are_one_table_with_their_share_at_each_batch_size():
    updates = [
        {"question": "update", "identity": {"model": "small", "optimizer": "sgd", "implementation": name}}
        for name in ("for_loop", "fused")
    ]
    value = {"bytes": 8_000_000, "stream_blocks": [[1, 1e-4, 0, None]], "launches": 7}
    outcomes = [ok(4e-4, None, **value), ok(2e-4, None, **value)]
    text = render(updates + cells(), outcomes + steps(phases={"update": 4e-4}), "markdown")
    slow, fast = table_rows(text)[:2]
    assert (slow["update"], slow["us"], slow["GB/s"], slow["of stream"]) == (
        "for_loop",
        "400 [390, 410]",
        "20.0",
        "25 %",
    )
    assert (slow["at 1"], fast["at 1"], slow["at 128"]) == ("25 %", "14 %", "0.8 %")
    assert text.startswith("update: small · sgd · cpu") and '"at B": share of a training step' in text
    alone = table_rows(render(updates, outcomes, "markdown"))[0]
    assert "at 1" not in alone


def test_our_update_is_set_against_the_fused_one_and_its_statistics_against_it():
    names = ("fused", "ours", "ours-statistics")
    updates = [
        {"question": "update", "identity": {"model": "small", "optimizer": "sgd", "implementation": name}}
        for name in names
    ]
    outcomes = [ok(4e-4, None), ok(3e-4, None, routine="torch"), ok(3.06e-4, None, routine="torch")]
    text = render(updates, outcomes, "markdown")
    assert [row["of fused's time"] for row in table_rows(text)[:3]] == ["-", "75 %", "76 %"]
    assert "statistics on the way: +2.0 % [+2.0, +2.0] of ours" in text and "our kernel needs a GPU" in text
    alone = render(updates[:1], outcomes[:1], "markdown")
    assert "statistics" not in alone and "of fused" not in alone and "our kernel" not in alone


def test_trainings_show_what_they_reached():
    identity = {"model": "small", "precision": "fp32", "loader": "dali", "step": "eager", "batch_size": 8}
    value = {"top1": 0.8, "target": 0.75, "train_seconds": 9.0, "blocks": []}
    runs = [
        {"process": k, "status": "ok", "reason": None, "value": value | {"time_to_target_seconds": reached}}
        for k, reached in enumerate([4.0, None, 5.0])
    ]
    row = table_rows(render([{"question": "accuracy", "identity": identity}], [runs], "markdown"))[0]
    assert (row["top1"], row["s to 0.75"], row["reached"], row["train s"]) == (
        "0.8000 [0.8000, 0.8000]",
        "5.00",
        "2/3",
        "9.00",
    )


def test_names_fit_the_question():
    inference = {"model": "small", "precision": "bf16", "backend": "eager", "trained_at": 8, "cuda_graph": False}
    asked = [{"question": "inference", "identity": inference | {"batch_size": size}} for size in SIZES]
    text = render(asked, steps())
    assert "bf16 · trained at 8 · cpu" in text and " eager: pass = 1.20" in text
    loading = {"loader": "dali", "input": "real", "image_size": 64}
    asked = [{"question": "data", "identity": loading | {"batch_size": size}} for size in SIZES]
    text = render(asked, steps(first_batch_seconds=0.25))
    assert "batch ms" in text and " batch = 1.20" in text and "first batch s" in text and "64 px" in text


def test_the_largest_batch_and_what_is_timed_stand_at_the_end():
    largest = {"model": "small", "precision": "fp32", "step": "eager", "batch_size": 4096, "bound": "memory"}
    full = {"batch_size": 4352, "status": "oom", "reason": "out of memory"}
    text = render(cells(), steps(), find_max=[largest | {"tried": [full]}])
    assert text.endswith("largest batch that runs, small, fp32, eager: 4,096 (bound: memory)\nblocks of 0.5 s")
    broken = {"batch_size": 8192, "status": "failed", "reason": "ValueError: odd"}
    text = render(cells(), steps(), find_max=[largest | {"bound": "failed", "tried": [full, broken]}])
    assert "small, fp32, eager: 4,096 (bound: 8,192 failed: ValueError: odd)" in text


def test_json_is_the_document_and_csv_has_every_row():
    text = render(cells(), steps(memory={"resident_bytes": 5}), "json")
    assert json.loads(text)["kind"] == "bench"
    lines = list(csv.DictReader(io.StringIO(render(cells(), steps(memory={"resident_bytes": 5}), "csv"))))
    assert [line["batch_size"] for line in lines] == [str(size) for size in SIZES]
    assert lines[0]["memory.resident_bytes"] == "5"
    assert json.loads(lines[0]["block_seconds"])[0] == [pytest.approx(1.6e-3)]


@pytest.mark.parametrize("style", ["table", "markdown"])
def test_no_sentence_is_wider_than_the_page(style):
    outcomes = [*steps(phases={"update": 4e-4}, operators=100, operator_seconds=5e-6)[:-1], bad("oom", "word " * 60)]
    lines = render(cells(), outcomes, style).splitlines()
    assert max(len(line) for line in lines if not line.startswith("|")) <= 120


def test_wrapped_lines_keep_every_word():
    words = [f"word{number}" for number in range(60)]
    assert " ".join(" ".join(within_width(" ".join(words), "- ")).split()[1:]) == " ".join(words)


@pytest.mark.parametrize("machine", [{}, {"cpu": None}, {"cpu": {"model": None}}, {"gpu": {"devices": []}}])
def test_an_unknown_processor_is_a_dash(machine):
    assert processor(machine, "cpu") == "-" and processor(machine, "cuda") == "-"


@pytest.mark.parametrize(
    ("bend", "said"), [(1.0, "(worst residual 0 %)"), (1.2, ": a rough guide)"), (8.0, ": this is no line)")]
)
def test_a_line_that_misses_its_points_says_so(bend, said):
    """One size in the middle takes `bend` times as long as the line says."""
    outcomes = steps()
    for outcome in outcomes[len(SIZES) // 2]:
        outcome["value"]["blocks"] = [[calls, bend * s, *rest] for calls, s, *rest in outcome["value"]["blocks"]]
    assert said in render(cells(), outcomes)
