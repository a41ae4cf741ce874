"""The command for Nsight Systems and its reports; the tables are written after NVIDIA's description of them."""

from pathlib import Path

import pytest

from fastbs.profiling.nsys import capture_command, conflict_advice, read_kernels, read_phases, read_report

PHASES = """Generating SQLite file batch-00008.sqlite from batch-00008.nsys-rep
Processing [batch-00008.sqlite] with [nvtx_gpu_proj_sum.py]...
Range,Style,Total Proj Time (ns),Total Range Time (ns),Range Instances
fastbs:backward,PushPop,30000000,21000000,10
fastbs:forward,PushPop,"12,000,000",9000000,10
fastbs:step,PushPop,45000000,40000000,10
"""
KERNELS = """Time (%),Total Time (ms),Instances,Avg (ms),Name
10.0,1.5,20,0.075,"void relu<float, 4>(int)"
90.0,13.5,10,1.35,"sm90_xmma_fprop"
"""


def test_the_command_records_between_our_marks_and_needs_no_rights():
    command = capture_command(Path("a b/batch-00008.request.json"), Path("a b/batch-00008"))
    assert command[:2] == ["nsys", "profile"] and "--capture-range=cudaProfilerApi" in command
    assert "--sample=none" in command and "--output=a b/batch-00008" in command
    assert command[-3:] == ["-m", "fastbs.bench.captured_steps", "a b/batch-00008.request.json"]


def test_phases_are_seconds_per_step_without_the_domain():
    assert read_phases(PHASES, 10) == pytest.approx({"backward": 3e-3, "forward": 1.2e-3, "step": 4.5e-3})


def test_kernels_are_read_by_the_names_of_columns_whatever_their_order_and_unit():
    first, second = read_kernels(KERNELS, 10)
    assert first == {"name": "sm90_xmma_fprop", "seconds": pytest.approx(1.35e-3), "calls": 1.0}
    assert second["name"] == "void relu<float, 4>(int)" and second["seconds"] == pytest.approx(1.5e-4)
    turned = "Name,New Column,Instances,Total Time (ns)\nk,?,10,1000\n"
    assert read_kernels(turned, 10) == [{"name": "k", "seconds": pytest.approx(1e-7), "calls": 1.0}]


@pytest.mark.parametrize(
    "text", ["", "SKIPPED: batch.sqlite does not contain NV Tools Extension (NVTX) data.\n", "a,b\n1,2\n"]
)
def test_a_report_without_its_columns_is_said_by_name(text):
    with pytest.raises(ValueError, match="no table with the columns Range, Total Proj Time"):
        read_report(text, {"range": "Range", "seconds": "Total Proj Time"})


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("CUPTI_ERROR_HARDWARE_BUSY", "dcgmi profile --pause"),
        ("a driver resource was unavailable", "dcgmi profile --pause"),
        ("ERR_NVGPUCTRPERM: the user does not have permission", "administrator"),
        ("CUPTI_ERROR_INSUFFICIENT_PRIVILEGES", "administrator"),
    ],
)
def test_counters_that_are_taken_are_explained(said, advice):
    assert advice in conflict_advice(f"Error: {said}.\n")


def test_other_failures_are_not():
    assert conflict_advice("out of memory") is None
