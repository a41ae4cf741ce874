import math

import numpy as np
import pytest

from fastbs.analysis.bench_document import bench_document

SIZES = [1, 2, 4, 8, 32, 128]
ALPHA, BETA, HOST = 1.22e-3, 0.385e-3, 5e-3
TRIALS = 300


def line(size):
    return ALPHA + BETA * size


def floored(size):
    return max(HOST, line(size))


def simulated(truth, rng, processes, update=0.4e-3, sizes=SIZES, **more):
    """Every cell and round has its own process: 2 % between processes, 1 % between its blocks; 3 % on the update."""
    outcomes = []
    for size in sizes:
        of_cell = []
        for process in range(processes):
            seconds = truth(size) * np.exp(0.02 * rng.standard_normal() + 0.01 * rng.standard_normal(5))
            phases = {"update": update * math.exp(0.03 * rng.standard_normal()), "rest": truth(size) - update}
            blocks = [[10, 10 * float(block), 0, None] for block in seconds]
            value = {"images": size, "blocks": blocks, "phases": phases, **more}
            of_cell.append({"process": process, "status": "ok", "reason": None, "value": value})
        outcomes.append(of_cell)
    return outcomes


def document(outcomes, sizes=SIZES):
    named = {"model": "small", "precision": "fp32", "loader": "synthetic", "input": "synthetic", "step": "eager"}
    identities = [{**named, "allocator": "fastbs", "batch_size": size} for size in sizes]
    cells = [{"question": "throughput", "identity": identity} for identity in identities]
    return bench_document(cells, outcomes, settings={}, machine={}, timed="")


def curve(outcomes, sizes=SIZES):
    return document(outcomes, sizes)["curves"][0]


def exact(truth, **more):
    """Three processes without any noise."""
    rows = [{"images": size, "blocks": [[10, 10 * truth(size), 0, None]] * 5, **more} for size in SIZES]
    return [[{"process": p, "status": "ok", "reason": None, "value": value} for p in range(3)] for value in rows]


@pytest.mark.parametrize("processes", [3, 5])
@pytest.mark.parametrize(("truth", "form"), [(line, "line"), (floored, "floor")])
def test_step_times_with_and_without_a_floor_are_fitted_within_their_intervals(truth, form, processes):
    rng = np.random.default_rng([processes, len(form)])
    right, covered = 0, np.zeros(2)
    for _ in range(TRIALS):
        fit = curve(simulated(truth, rng, processes))["fit"]
        right += fit["form"] == form
        for number, (name, value) in enumerate([("alpha", ALPHA), ("beta", BETA)]):
            low, high = fit[f"{name}_ms_interval"] or (-math.inf, math.inf)
            covered[number] += low <= 1e3 * value <= high
    assert right / TRIALS >= 0.99  # 300 of 300 in all four cases
    assert (covered / TRIALS >= 0.91).all() and (covered / TRIALS <= 0.985).all()  # nominal: 0.95; 0.93 to 0.97 here


@pytest.mark.parametrize(("slope", "low", "high"), [(0.0, 0.92, 0.975), (0.1, 0.0, 0.05)])
def test_the_trend_of_the_update_covers_0_in_95_percent_of_trials_only_when_there_is_none(slope, low, high):
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(TRIALS):
        outcomes = simulated(line, rng, 5)
        for size, of_cell in zip(SIZES, outcomes, strict=True):
            for outcome in of_cell:
                outcome["value"]["phases"]["update"] *= size**slope
        interval = curve(outcomes)["update_trend"]["interval"]
        covered += interval[0] <= 0 <= interval[1]
    assert low <= covered / TRIALS <= high


def test_the_trend_is_in_percent_per_doubling():
    outcomes = exact(line)
    for size, of_cell in zip(SIZES, outcomes, strict=True):
        for outcome in of_cell:
            outcome["value"] = outcome["value"] | {"phases": {"update": 1e-4 * 1.02 ** math.log2(size)}}
    trend = curve(outcomes)["update_trend"]
    assert trend["percent_per_doubling"] == pytest.approx(2)
    assert trend["interval"] == pytest.approx([2, 2])


def test_without_noise_the_curve_is_recovered_with_its_knee():
    found = curve(exact(line))
    assert found["fit"]["form"] == "line" and found["fit"]["host_ms"] == 0
    assert found["fit"]["alpha_ms"] == pytest.approx(1e3 * ALPHA)
    assert found["knee"] == found["fit"]["b_half"] == pytest.approx(ALPHA / BETA)
    found = curve(exact(floored))
    assert found["fit"]["form"] == "floor"
    assert found["fit"]["host_ms"] == pytest.approx(1e3 * HOST)
    assert found["knee"] == pytest.approx((HOST - ALPHA) / BETA)


def test_residuals_stand_in_the_rows_and_a_cliff_shows():
    outcomes = exact(lambda size: 1.2 * line(size) if size == 32 else line(size))
    rows = document(outcomes)["rows"]
    assert max(rows, key=lambda row: abs(row["residual"]))["batch_size"] == 32


def test_best_is_by_images_per_second_and_the_smallest_size_close_to_it_is_named():
    found = curve(exact(line))
    speeds = {size: size / line(size) for size in SIZES}
    assert found["best"] == max(speeds, key=speeds.get) == 128
    assert found["within_5_percent"] == 128
    found = curve(exact(lambda size: line(size) if size <= 32 else 1.06 * BETA * size * 1.05))
    assert (found["best"], found["within_5_percent"]) == (32, 32)
    assert curve(exact(lambda size: 1e-6 + BETA * size))["within_5_percent"] == 1


def test_the_fixed_time_is_split_into_parts_measured_by_themselves():
    phases = {"update": 0.4e-3, "rest": 0.0}
    fixed = curve(exact(line, phases=phases, operators=100, operator_seconds=5e-6))["fixed"]
    assert fixed == {
        "total_ms": pytest.approx(1e3 * ALPHA),
        "update_ms": pytest.approx(0.4),
        "host_ms": pytest.approx(0.5),
        "rest_ms": pytest.approx(1.22 - 0.4 - 0.5),
        "host_is": "operators x cost of one",
    }
    fixed = curve(exact(floored, phases=phases, host_seconds=4.8e-3, operators=100))["fixed"]
    assert fixed["host_is"] == "enqueue" and fixed["host_ms"] == pytest.approx(4.8)
    assert fixed["rest_ms"] == pytest.approx(5 - 4.8)  # the card updates beside the host, which is the slower one
    fixed = curve(exact(line, phases=phases, host_seconds=1e-3))["fixed"]
    assert fixed["rest_ms"] == pytest.approx(1.22 - 0.4)  # the host enqueues beside the card


def test_what_was_not_measured_is_not_split():
    found = curve(exact(line))
    assert found["fixed"] is None and found["update_trend"] is None
    fixed = curve(exact(line, phases={"update": 0.4e-3}))["fixed"]
    assert fixed["host_ms"] is None and fixed["host_is"] is None
    assert fixed["rest_ms"] == pytest.approx(1.22 - 0.4)


def test_one_process_gives_a_fit_without_intervals():
    found = curve([of_cell[:1] for of_cell in simulated(line, np.random.default_rng(1), 3)])
    assert found["fit"]["form"] == "line" and found["fit"]["alpha_ms_interval"] is None
    assert found["update_trend"]["interval"] is None


def test_a_size_that_ran_out_of_memory_leaves_the_others_as_they_are():
    outcomes = simulated(line, np.random.default_rng(2), 3)
    oom = [{"process": 0, "status": "oom", "reason": "no memory left for 4 GiB", "value": None}]
    whole = document([*outcomes[:-1], oom])
    alone = document(outcomes[:-1], SIZES[:-1])
    assert whole["rows"][:-1] == alone["rows"]
    assert whole["curves"] == alone["curves"]
    last = whole["rows"][-1]
    assert (last["status"], last["reason"], last["residual"]) == ("oom", "no memory left for 4 GiB", None)


def test_a_size_that_failed_once_is_not_part_of_the_curve():
    outcomes = simulated(line, np.random.default_rng(4), 3)
    outcomes[-1][2] = {"process": 2, "status": "failed", "reason": "x", "value": None}
    found = document(outcomes)
    assert found["curves"] == document(outcomes[:-1], SIZES[:-1])["curves"]
    assert found["rows"][-1]["step_ms"] is not None and found["rows"][-1]["residual"] is None


def test_too_few_sizes_are_said_to_be():
    found = curve(exact(line)[:2], SIZES[:2])
    assert found["fit"]["form"] is None and found["knee"] is None
    assert "three batch sizes" in found["fit"]["reason"]
    nothing = [[{"process": 0, "status": "failed", "reason": "x", "value": None}] for _ in SIZES]
    assert curve(nothing)["fit"]["reason"] == "no batch size is ok"


def test_the_order_of_processes_and_of_cells_does_not_matter():
    outcomes = simulated(floored, np.random.default_rng(3), 4)
    expected = document(outcomes)
    assert document([of_cell[::-1] for of_cell in outcomes]) == expected
    backwards = document(outcomes[::-1], SIZES[::-1])
    assert backwards["rows"] == expected["rows"][::-1]
    assert backwards["curves"] == expected["curves"]
