import json
import statistics

import numpy as np
import pytest

from fastbs.analysis.bench_document import bench_document
from fastbs.analysis.bench_identity import IDENTITY, curve_key, row_key

STEP = {"model": "small", "precision": "fp32", "step": "eager", "allocator": "fastbs"}


def cell(loader="synthetic", batch_size=8, **more):
    source = {"loader": loader, "input": "synthetic" if loader == "synthetic" else "real"}
    return {"question": "throughput", "identity": STEP | source | {"batch_size": batch_size} | more}


def loading(loader, batch_size=8):
    source = "synthetic" if loader == "synthetic" else "real"
    return {
        "question": "data",
        "identity": {"loader": loader, "input": source, "image_size": 64, "batch_size": batch_size},
    }


def update(implementation="fused", model="small"):
    return {"question": "update", "identity": {"model": model, "optimizer": "sgd", "implementation": implementation}}


def ok(process, seconds, images=8, **more):
    blocks = [[4, 4 * s, 40, None] for s in (seconds if isinstance(seconds, list) else [seconds])]
    return {
        "process": process,
        "status": "ok",
        "reason": None,
        "value": {"images": images, "blocks": blocks, **more},
    }


def bad(process, status, reason):
    return {"process": process, "status": status, "reason": reason, "value": None}


def rows(cells, outcomes):
    return bench_document(cells, outcomes, settings={}, machine={}, timed="")["rows"]


def row(outcomes, of=None):
    return rows([of or cell()], [outcomes])[0]


def test_a_time_is_the_geometric_mean_over_processes_of_the_median_of_blocks():
    found = row([ok(0, [0.010, 0.011, 0.9]), ok(1, [0.020, 0.022, 0.023])])
    assert found["step_ms"] == pytest.approx(1e3 * statistics.geometric_mean([0.011, 0.022]))
    assert found["images_per_second"] == pytest.approx(8e3 / found["step_ms"])
    assert found["block_seconds"] == [[0.010, 0.011, 0.9], [0.020, 0.022, 0.023]]
    low, high = found["step_ms_interval"]
    assert found["images_per_second_interval"] == pytest.approx([8e3 / high, 8e3 / low])
    assert found["drift"] == pytest.approx(statistics.median([89, 0.15]))


def test_one_process_has_no_interval():
    found = row([ok(0, 0.01)])
    assert found["step_ms"] == pytest.approx(10)
    assert found["step_ms_interval"] is None and found["images_per_second_interval"] is None


def test_the_interval_is_the_t_interval_of_the_logarithms():
    from scipy import stats

    seconds = np.array([0.010, 0.011, 0.013, 0.0105])
    low, high = row([ok(k, float(s)) for k, s in enumerate(seconds)])["step_ms_interval"]
    logs = np.log(1e3 * seconds)
    expected = stats.t.interval(0.95, 3, logs.mean(), stats.sem(logs))
    assert np.log([low, high]) == pytest.approx(np.array(expected), abs=1e-6)


def test_a_row_is_ok_only_if_every_process_was():
    found = row([ok(0, 0.01), bad(1, "oom", "killed")])
    assert (found["status"], found["reason"], found["processes"]) == ("oom", "killed", 1)
    assert found["status_counts"] == {"ok": 1, "oom": 1}
    assert found["step_ms"] == pytest.approx(10)
    nothing = row([bad(0, "failed", "ValueError: no")])
    assert nothing["status"] == "failed" and nothing["step_ms"] is None and nothing["memory"] is None


def test_the_reason_is_that_of_the_first_process_in_whatever_order_they_come():
    outcomes = [bad(0, "failed", "first"), bad(1, "oom", "second"), ok(2, 0.01)]
    assert row(outcomes) == row(outcomes[::-1]) and row(outcomes)["reason"] == "first"


def test_energy_faults_clock_and_memory_are_put_together():
    blocks = [[5, 0.05, 10, 1980.0], [5, 0.05, 30, 1920.0]]
    value = {"images": 4, "blocks": blocks, "energy_joules": 8.0, "energy_source": "nvml", "throttled_share": 0.0}
    memory = [{"allocated_bytes": 10, "resident_bytes": None}, {"allocated_bytes": 30, "resident_bytes": None}]
    found = row([ok(k, 1) | {"value": value | {"memory": held}} for k, held in enumerate(memory)])
    assert found["minor_faults_per_image"] == 1
    assert found["energy_joules_per_image"] == pytest.approx(0.2)
    assert (found["energy_source"], found["sm_clock_mhz"], found["throttled_share"]) == ("nvml", 1950, 0)
    assert found["memory"] == {"allocated_bytes": 30, "resident_bytes": None}


def test_phases_are_reconciled_with_the_step_that_was_timed_without_them():
    phases = {"input": 0.001, "forward": 0.003, "backward": 0.004, "update": 0.001, "rest": None}
    found = row([ok(k, 0.010, phases=phases) for k in range(3)])
    assert found["phases"]["forward_ms"] == pytest.approx(3) and found["phases"]["rest_ms"] is None
    assert found["phases"]["unexplained_ms"] == pytest.approx(1)
    assert found["update_ms"] == pytest.approx(1) and found["update_share"] == pytest.approx(0.1)
    assert row([ok(0, 0.01, phases=None)])["phases"] is None


def test_the_input_gap_is_paired_by_round():
    luck = [1.0, 1.5, 0.7]
    synthetic, dali = cell("synthetic"), cell("dali")
    waits = [ok(k, 0.012 * factor) for k, factor in enumerate(luck)]
    runs = [ok(k, 0.010 * factor) for k, factor in enumerate(luck)]
    real, base = rows([dali, synthetic], [waits[::-1], runs])
    assert real["input_gap"] == pytest.approx(1.2) and real["input_bound"] is True
    assert real["input_gap_interval"] == pytest.approx([1.2, 1.2])
    assert base["input_gap"] is None and base["input_bound"] is None


def test_a_gap_below_5_percent_or_within_noise_is_not_called_input_bound():
    for factors, bound in (([1.04, 1.04, 1.04], False), ([1.01, 1.3, 1.02], None)):  # None: it may be either
        waits = [ok(k, 0.01 * factor) for k, factor in enumerate(factors)]
        real, _ = rows([cell("dali"), cell()], [waits, [ok(k, 0.01) for k in range(3)]])
        assert real["input_bound"] is bound
    real, _ = rows([cell("dali"), cell()], [[ok(0, 0.02)], [ok(0, 0.01)]])
    assert real["input_gap"] == pytest.approx(2) and real["input_bound"] is None  # one process cannot tell


def test_only_synthetic_input_of_the_same_setting_is_a_yardstick():
    others = [cell(batch_size=16), cell(precision="bf16"), cell(step="compile"), cell(allocator="default")]
    assert rows([cell("dali"), *others], [[ok(0, 0.01)]] * 5)[0]["input_gap"] is None


def test_loaders_are_compared_with_both_dataloaders():
    cells = [
        loading("dali"),
        loading("torch-float32"),
        loading("torch-uint8"),
        loading("resident"),
        loading("dali", 4),
    ]
    times = [0.01, 0.03, 0.02, 0.001, 0.005]
    found = rows(cells, [[ok(k, t, first_batch_seconds=t * 10) for k in range(2)] for t in times])
    assert found[0]["ratio_to_naive"] == pytest.approx(3) and found[0]["ratio_to_uint8"] == pytest.approx(2)
    assert found[1]["ratio_to_naive"] is None and found[1]["ratio_to_uint8"] == pytest.approx(2 / 3)
    assert found[3]["ratio_to_naive"] == pytest.approx(30)
    assert found[4]["ratio_to_naive"] is None
    assert found[0]["first_batch_seconds"] == pytest.approx(0.1)


def test_an_update_is_set_against_a_stream_of_the_same_process():
    value = {"parameters": 100_000, "tensors": 12, "bytes": 2_000_000, "launches": 3, "host_seconds": 2e-5}
    outcomes = [
        ok(k, 1e-4 * luck, images=None, stream_blocks=[[2, 2 * 0.8e-4 * luck, 0, None]] * 3, **value)
        for k, luck in enumerate([1.0, 1.4])
    ]
    found = row(outcomes, update())
    slow = 1.4**0.5
    assert found["us"] == pytest.approx(100 * slow) and found["host_us"] == pytest.approx(20)
    assert found["gb_per_second"] == pytest.approx(20 / slow)
    assert found["stream_gb_per_second"] == pytest.approx(25 / slow)
    assert found["stream_share"] == pytest.approx(0.8)
    assert found["stream_share_interval"] == pytest.approx([0.8, 0.8])  # what slows both does not count
    assert found["images_per_second"] is None and found["curve"] is None
    assert (found["parameters"], found["tensors"], found["launches"]) == (100_000, 12, 3)


def test_an_update_is_set_against_the_fused_one_of_its_parameters_round_by_round():
    cells = [update(), update("ours"), update("ours-statistics"), update("ours", model="flat")]
    outcomes = [[ok(0, s), ok(1, 10 * s)] for s in (0.004, 0.003, 0.006, 0.001)]
    fused, ours, measuring, other = rows(cells, outcomes)
    assert fused["time_to_fused"] is None and other["time_to_fused"] is None
    assert ours["time_to_fused"] == pytest.approx(0.75) and ours["time_to_fused_interval"] == pytest.approx([0.75] * 2)
    assert ours["time_to_ours"] is None and measuring["time_to_ours"] == pytest.approx(2)


def test_the_updates_share_falls_with_batch_size_as_the_steps_rest_grows():
    cells = [update(), update("for_loop"), update(model="flat"), cell(batch_size=8), cell(batch_size=1)]
    steps = [
        [ok(0, 0.010, phases={"update": 0.002})],
        [ok(0, 0.004, images=1, phases={"update": 0.002})],
    ]
    found = rows(cells, [[ok(0, 0.002)], [ok(0, 0.008)], [ok(0, 0.002)], *steps])
    assert found[0]["curve"] == [
        {"batch_size": 1, "us_per_image": pytest.approx(2000), "share": pytest.approx(0.5)},
        {"batch_size": 8, "us_per_image": pytest.approx(250), "share": pytest.approx(0.2)},
    ]
    assert [point["share"] for point in found[1]["curve"]] == pytest.approx([0.8, 0.5])
    assert found[2]["curve"] is None


def test_shares_are_those_of_one_curve_plain_fp32_before_others():
    cells = [update(), cell("dali"), cell(precision="bf16"), cell(step="compile"), cell()]
    times = [0.01, 0.02, 0.03, 0.05, 0.08]
    outcomes = [[ok(0, seconds, phases={"update": 0.01})] for seconds in times]
    assert [point["share"] for point in rows(cells, outcomes)[0]["curve"]] == pytest.approx([0.01 / 0.08])
    assert [point["share"] for point in rows(cells[:4], outcomes[:4])[0]["curve"]] == pytest.approx([0.01 / 0.03])


def trained(process, top1, reached):
    value = {"top1": top1, "target": 0.75, "time_to_target_seconds": reached, "train_seconds": 9.0, "blocks": []}
    return {"process": process, "status": "ok", "reason": None, "value": value}


def test_a_run_that_missed_the_target_counts_as_longer_than_any():
    of = {"question": "accuracy", "identity": STEP | {"loader": "dali", "batch_size": 8}}
    runs = [trained(0, 0.8, 4.0), trained(1, 0.7, None), trained(2, 0.9, 3.0)]
    found = row(runs, of)
    assert (found["time_to_target_s"], found["targets_reached"], found["target"]) == (4.0, 2, 0.75)
    assert found["top1"] == pytest.approx(0.8) and found["top1_interval"][0] < 0.7
    assert found["step_ms"] is None and found["train_seconds"] == 9
    assert row([*runs, bad(3, "diverged", "NaN")], of)["time_to_target_s"] is None
    assert row([*runs, bad(3, "oom", "")], of)["time_to_target_s"] == 4.0
    assert row([bad(0, "failed", "x")], of)["top1"] is None


def test_rows_stay_in_the_order_given_and_the_document_is_json():
    cells = [cell("dali", 8), cell("synthetic", 2), update(), cell("dali", 2)]
    document = bench_document(cells, [[ok(0, 0.01)]] * 4, settings={"device": "cpu"}, machine={}, timed="blocks")
    assert [row["question"] for row in document["rows"]] == ["throughput", "throughput", "update", "throughput"]
    assert [row.get("batch_size") for row in document["rows"]] == [8, 2, None, 2]
    assert [curve["loader"] for curve in document["curves"]] == ["dali", "synthetic"]
    assert document["kind"] == "bench" and document["questions"] == ["throughput", "update"]
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_a_row_is_named_by_all_that_may_differ_and_a_curve_by_all_but_the_batch_size():
    first, second = rows([cell(batch_size=1), cell(batch_size=2)], [[ok(0, 0.01)]] * 2)
    assert row_key(first) != row_key(second) and curve_key(first) == curve_key(second)
    assert set(cell()["identity"]) == set(IDENTITY["throughput"])
    assert curve_key(row([ok(0, 1)], update())) != curve_key(row([ok(0, 1)], update("for_loop")))
