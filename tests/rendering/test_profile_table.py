"""The table of a profile: what is not known is left out, what bounds each size stands below."""

import csv
import io
import json

import pytest

from fastbs.rendering.profile import render_profile

MACHINE = {"cpu": {"model": "AMD EPYC 7B13", "cores": 2}, "gpu": {"devices": []}}


def row(size=8, **changes):
    return {
        "batch_size": size,
        "status": "ok",
        "reason": None,
        "step_seconds": 0.0101,
        "phases": {"input": 0.001, "forward": 0.003, "backward": 0.005, "update": 0.0005, "rest": 0.0003},
        "unexplained": 0.03,
        "images_per_second": 792.0,
        "memory": {"reserved_bytes": None, "resident_bytes": 400 << 20},
        "h2d_seconds": None,
        "communication_seconds": None,
        "idle_seconds": None,
        "gpu_busy": None,
        "busy_seconds": None,
        "sm_clock_mhz": None,
        "power_w": None,
        "joules_per_image": None,
        "throttled_share": None,
        "host_seconds": None,
        "operators": 190,
        "operator_seconds": 4.2e-6,
        "arithmetic_seconds": 0.003,
        "largest_other": {"name": "aten::native_group_norm", "seconds": 0.0021},
        "flops": 45_000_000,
        "matmul_flops_per_second": 5e10,
        "shares": {"input": 0.1, "update": 0.05, "communication": 0.04, "launch": 0.08, "compute": 0.3, "memory": 0.47},
        "bound": "memory",
        **changes,
    }


CARD = {"h2d_seconds": 0.0002, "idle_seconds": 0.006, "gpu_busy": 0.41, "busy_seconds": 0.0041, "sm_clock_mhz": 1980.0}
CARD |= {"power_w": 312.4, "joules_per_image": 0.0123, "throttled_share": 0.02, "host_seconds": 0.0098}


def document(*rows, device="cpu"):
    about = {"norm": "group", "image_size": 64}
    settings = {"plan": {"models": ["small"]}, "models": {"small": about}, "device": device, "threads": 1}
    settings |= {"precision": "fp32", "loader": "synthetic", "step": "eager", "gpus": 1}
    return {"schema": 1, "kind": "profile", "settings": settings, "machine": MACHINE, "rows": list(rows)}


def test_columns_that_a_cpu_cannot_have_are_left_out():
    text = render_profile(document(row(1), row(8)), "table")
    assert not {"H2D", "busy", "idle", "communication", "throttled"} & set(text.splitlines()[1].split())
    assert "97 %" in text and max(map(len, text.splitlines())) <= 120


def test_a_card_has_them_all_within_the_width():
    lines = render_profile(document(row(1, **CARD)), "table").splitlines()
    for name in ("H2D", "idle", "busy", "MHz", "W", "J/image", "throttled"):
        assert name in lines[1]
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bound": "input"}, "input-bound: 10 % of the step waits for images"),
        ({"bound": "update"}, "update-bound: the update takes 5 %"),
        ({"bound": "communication"}, "communication-bound: averaging gradients over 1 ranks adds 4 % to the step"),
        ({"bound": "launch"}, "launch-bound: 190 operators x 4.20 us = 8 %"),
        ({"bound": "launch", **CARD}, "launch-bound: the GPU is idle for 8 % of the step, and the host takes 9.80 ms"),
        (
            {"bound": "compute"},
            "compute-bound: convolutions and matrix products take 30 % of the step, at 30 % of the speed of a large "
            "one here (50.0 GFLOP/s); lower --precision or wider layers or a larger batch while that part grows",
        ),
        ({"bound": "compute", "flops": 120_000_000}, "lower --precision or another device"),
        ({"bound": "compute", "arithmetic_seconds": None}, "30 % of the step, if they have the speed of a large one"),
        (
            {},
            "memory-bound, by elimination: 47 % of the step is neither convolutions and matrix products (30 %), "
            "launches, update nor input; aten::native_group_norm alone takes 2.10 ms of it; --step compile, lower",
        ),
    ],
)
def test_every_bound_is_a_sentence_with_its_number(changes, said):
    assert said in " ".join(render_profile(document(row(**changes)), "table").split())


def test_compiled_code_is_not_called_by_its_hash():
    compiled = row(largest_other={"name": "## Call CompiledFxGraph fepzfnnpmz ##", "seconds": 0.002})
    said = render_profile(document(compiled), "table")
    assert "what the compiler made alone takes 2.00 ms" in " ".join(said.split()) and "fepz" not in said


def test_nobody_is_told_to_do_what_he_does():
    compiled, low = document(row()), document(row())
    compiled["settings"]["step"] = "compile"
    low["settings"] |= {"step": "compile", "precision": "bf16"}
    assert "--step compile, lower --precision" in render_profile(document(row()), "table")
    assert "--step compile" not in render_profile(compiled, "table")
    assert "--precision" not in render_profile(low, "table")


def test_phases_that_do_not_add_up_are_said_to_be_no_parts():
    assert "they are not its parts" in render_profile(document(row(unexplained=-0.07)), "table")
    assert "they are not its parts" not in render_profile(document(row(unexplained=-0.04)), "table")


def test_a_size_without_numbers_says_why_and_the_others_stay():
    oom = {"batch_size": 512, "status": "oom", "reason": "MemoryError: too | much"}
    for style in ("table", "markdown"):
        text = render_profile(document(row(), oom), style)
        assert "512: oom: MemoryError" in text and "memory-bound" in text
    names, *rows = list(csv.reader(io.StringIO(render_profile(document(row(), oom), "csv"))))
    assert [dict(zip(names, values, strict=True))["status"] for values in rows] == ["ok", "oom"]


def test_json_is_the_document():
    assert json.loads(render_profile(document(row()), "json")) == document(row())
