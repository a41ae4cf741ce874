import json
import math
import statistics

import pytest

from fastbs.analysis.bench_document import bench_document
from fastbs.analysis.comparison.sides import make_side
from fastbs.errors import BadInput
from fastbs.results.measurement_files import MeasurementFile

STEP = {"model": "small", "precision": "bf16", "loader": "synthetic", "input": "synthetic", "step": "eager"}
CARD = {"name": "H200", "memory_bytes": 150_109_880_320, "mig": False, "ecc": True, "power_limit_watts": 700.0}
MACHINE = {
    "gpu": {"driver": "580.1", "devices": [CARD]},
    "cpu": {
        "model": "EPYC",
        "available_cores": 16,
        "allocator": {"name": "glibc", "glibc": "2.36", "settings": {"MALLOC_ARENA_MAX": "1"}},
    },
    "software": {
        "python": "3.12.1",
        "cudnn": 91000,
        "libraries": {"torch": "2.13.0", "tensorrt": None},
        "container": {"NVIDIA_PYTORCH_VERSION": "25.12", "NVIDIA_BUILD_ID": None},
        "source": {"commit": "abc", "dirty": False},
    },
}
MODEL = {"image_size": 64, "norm": "group", "classes": 10, "augment": "none", "loader_threads": 2, "parameters": 9}
SETTINGS = {
    "plan": {"optimizer": "sgd", "target": 0.75, "epochs": 5, "lr": 0.001, "blocks": 5, "processes": 3},
    "device": "cuda",
    "threads": 2,
    "dataset": {"name": "digits", "fingerprint": "f08d"},
    "models": {"small": MODEL},
}
CELLS = {
    "throughput": STEP | {"allocator": "fastbs", "batch_size": 8},
    "update": {"model": "small", "optimizer": "sgd", "implementation": "fused"},
    "accuracy": {"model": "small", "precision": "bf16", "loader": "dali", "step": "eager", "batch_size": 8},
    "data": {"loader": "dali", "input": "real", "image_size": 64, "batch_size": 8},
}


def ok(process, seconds, **more):
    blocks = [[10, 10 * each, 0, 1980.0] for each in seconds]
    value = {"images": 8, "blocks": blocks} | more
    return {"process": process, "status": "ok", "reason": None, "value": value}


def bad(process, status="oom", reason="too large"):
    return {"process": process, "status": status, "reason": reason, "value": None}


def bench(name, rows, settings=SETTINGS, machine=MACHINE, **changes):
    """A bench file; `rows` are (question, changes of its cell's identity, outcomes)."""
    cells = [{"question": question, "identity": CELLS[question] | other} for question, other, _ in rows]
    document = bench_document(cells, [row[2] for row in rows], settings=settings, machine=machine, timed="")
    return MeasurementFile(name, "bench", json.loads(json.dumps({"fastbs": document | changes})))


def record(*rows, **more):
    return make_side([bench("a.json", list(rows), **more)]).records[0]


def test_a_process_makes_so_many_images_a_second_as_the_median_of_its_blocks_says():
    seconds = [[0.010, 0.011, 0.9], [0.020, 0.022, 0.023]]
    row = record(("throughput", {}, [ok(k, each) for k, each in enumerate(seconds)]))
    sample = row.samples["images_per_second"]
    assert sample.values == pytest.approx([8 / 0.011, 8 / 0.022])
    errors = [statistics.stdev(each) / statistics.fmean(each) / math.sqrt(3) for each in seconds]
    assert sample.within == pytest.approx(math.sqrt(statistics.fmean(error**2 for error in errors)))
    assert (row.status, row.clock_mhz, row.batch_size) == ("ok", 1980, 8)
    assert row.key[0] == ("question", "throughput") and row.key[-1] == ("batch_size", 8)
    assert set(dict(row.key)) == {"question", *CELLS["throughput"]}


def test_one_block_has_no_spread():
    assert record(("throughput", {}, [ok(0, [0.01]), ok(1, [0.01, 0.02])])).samples["images_per_second"].within is None


def test_an_update_is_compared_by_its_microseconds():
    row = record(("update", {}, [ok(0, [1e-4, 2e-4, 9e-4])]))
    assert row.samples["update_us"].values == pytest.approx([200]) and row.batch_size is None
    assert "images_per_second" not in row.samples


def test_a_training_that_missed_its_target_took_for_ever():
    trained = [ok(0, [], time_to_target_seconds=3.0, top1=0.8, train_seconds=9.0)]
    trained += [ok(1, [], time_to_target_seconds=None, top1=0.5, train_seconds=9.0), bad(2, "missed", "0.5")]
    row = record(("accuracy", {}, trained))
    assert row.samples["time_to_target_s"].values == (3.0, math.inf, math.inf)
    assert row.status == "ok" and "images_per_second" not in row.samples
    assert row.samples["top1"].values == (0.8, 0.5)


def test_accuracy_by_process_is_read_where_a_file_has_it():
    file = bench("a.json", [("accuracy", {}, [ok(0, [], time_to_target_seconds=3.0, top1=0.8, train_seconds=9.0)])])
    file.document["fastbs"]["rows"][0]["top1_by_process"] = [0.8]
    assert make_side([file]).records[0].samples["top1"].values == (0.8,)


def test_memory_is_the_most_telling_kind_that_is_known():
    held = {"resident_bytes": 7, "nvml_bytes": 5, "allocated_bytes": 3, "reserved_bytes": 4}
    for kind, bytes in (("reserved_bytes", 4), ("allocated_bytes", 3), ("nvml_bytes", 5), ("resident_bytes", 7)):
        sample = record(("throughput", {}, [ok(0, [0.01], memory=held)])).samples["memory_bytes"]
        assert (sample.values, sample.within) == ((bytes,), 0)
        held[kind] = None
    assert "memory_bytes" not in record(("throughput", {}, [ok(0, [0.01], memory=held)])).samples


def test_energy_is_per_image_and_none_was_measured_where_it_is_0():
    row = record(("throughput", {}, [ok(0, [0.01], energy_joules=80.0)]))
    assert row.samples["energy_joules_per_image"].values == (1.0,)
    assert set(record(("throughput", {}, [ok(0, [0.01], energy_joules=0.0)])).samples) == {"images_per_second"}


def test_a_row_that_is_not_ok_keeps_its_reason_and_the_processes_that_were():
    row = record(("throughput", {}, [ok(0, [0.01]), bad(1)]))
    assert (row.status, row.reason, row.samples["images_per_second"].processes) == ("oom", "too large", 1)
    assert record(("throughput", {}, [bad(0, "failed", "ValueError")])).samples == {}


def test_only_the_same_measurement_is_exactly_the_same():
    rows = [("throughput", {}, [ok(0, [0.010, 0.011]), ok(1, [0.012, 0.013])])]
    first, again = record(*rows), record(*rows)
    others = record(("throughput", {}, [ok(0, [0.0105, 0.0105]), ok(1, [0.0125, 0.0125])]))
    exact = [each.samples["images_per_second"].exact for each in (first, again, others)]
    assert exact[0] == exact[1] != exact[2] and None not in exact
    assert others.samples["images_per_second"].values == pytest.approx(first.samples["images_per_second"].values)


def test_two_trainings_that_all_missed_are_not_the_same_measurement():
    def missed(seconds):
        return record(("accuracy", {}, [ok(0, [], time_to_target_seconds=None, top1=0.5, train_seconds=seconds)]))

    exact = [missed(seconds).samples["time_to_target_s"].exact for seconds in (9.0, 9.0, 9.1)]
    assert exact[0] == exact[1] != exact[2]


def test_the_workload_is_what_the_rows_depend_on():
    outcome = [ok(0, [0.01], time_to_target_seconds=1.0, top1=0.5, train_seconds=9.0)]
    synthetic = make_side([bench("a.json", [("throughput", {}, outcome)])]).workload
    assert synthetic == {
        "protocol": 1,
        "device": "cuda",
        "threads": 2,
        "throughput.optimizer": "sgd",
        "throughput.small.image_size": 64,
        "throughput.small.norm": "group",
        "throughput.small.classes": 10,
    }
    rows = [("throughput", {"loader": "dali", "input": "real"}, outcome), ("throughput", {}, outcome)]
    real = make_side([bench("a.json", rows)]).workload
    assert real == synthetic | {
        "throughput.dataset": "f08d",
        "throughput.small.augment": "none",
        "throughput.small.loader_threads": 2,
    }
    accuracy = make_side([bench("a.json", [("accuracy", {}, outcome)])]).workload
    assert (accuracy["accuracy.target"], accuracy["accuracy.epochs"], accuracy["accuracy.lr"]) == (0.75, 5, 0.001)
    assert accuracy["accuracy.dataset"] == "f08d" and accuracy["accuracy.small.norm"] == "group"
    update = make_side([bench("a.json", [("update", {}, outcome)])]).workload
    assert set(update) == {"protocol", "device", "threads"}


def test_a_bench_of_before_protocols_is_of_the_first():
    file = bench("a.json", [("update", {}, [ok(0, [0.01])])])
    assert file.document["fastbs"].pop("protocol") == 1
    assert make_side([file]).workload["protocol"] == 1
    assert make_side([bench("a.json", [("update", {}, [ok(0, [0.01])])], protocol=2)]).workload["protocol"] == 2


def test_the_machine_is_flat_facts_and_what_is_unknown_is_none():
    side = make_side([bench("a.json", [("update", {}, [ok(0, [0.01])])])])
    assert side.machine == {
        "gpu": "H200",
        "gpu_count": 1,
        "gpu_memory": "140 GiB",
        "mig": "off",
        "power_limit": "700 W",
        "ecc": "on",
        "driver": "580.1",
        "cuda": None,
        "cudnn": 91000,
        "nccl": None,
        "torch": "2.13.0",
        "dali": None,
        "tensorrt": None,
        "triton": None,
        "python": "3.12.1",
        "container": "NVIDIA_PYTORCH_VERSION=25.12",
        "allocator": "glibc 2.36 MALLOC_ARENA_MAX=1",
        "cpu": "EPYC",
        "cores": 16,
    }
    assert (side.commit, side.dirty, side.files) == ("abc", False, ("a.json",))


def test_cards_that_are_not_alike_are_all_named():
    cards = [CARD, CARD, CARD | {"name": "L4", "power_limit_watts": None}]
    machine = MACHINE | {"gpu": {"devices": cards}}
    facts = make_side([bench("a.json", [("update", {}, [ok(0, [0.01])])], machine=machine)]).machine
    assert (facts["gpu"], facts["gpu_count"], facts["power_limit"]) == ("H200, L4", 3, None)


def test_what_a_cpu_measured_does_not_depend_on_the_cards_beside_it():
    on_cpu = SETTINGS | {"device": "cpu"}
    facts = make_side([bench("a.json", [("update", {}, [ok(0, [0.01])])], settings=on_cpu)]).machine
    assert facts["cpu"] == "EPYC" and not {"gpu", "gpu_count", "driver", "cuda", "ecc"} & set(facts)


def test_curves_carry_what_the_file_says_of_them():
    rows = [("throughput", {"batch_size": size}, [ok(0, [0.002 + size / 1e4], images=size)]) for size in (1, 8, 64)]
    side = make_side([bench("a.json", rows)])
    said = side.curves[side.records[0].curve]
    assert said["knee"] == pytest.approx(20, rel=0.1) and said["within_5_percent"] == 64


def test_two_rows_of_one_name_in_a_file_are_refused():
    row = ("throughput", {}, [ok(0, [0.01])])
    with pytest.raises(BadInput, match=r"a\.json: throughput small .* 8: a second row of the same settings"):
        make_side([bench("a.json", [row, row])])


def test_several_files_of_a_side_are_several_processes_in_whatever_order_they_come():
    rows = {
        name: ("throughput", {}, [ok(k, [each, 1.01 * each]) for k, each in enumerate(seconds)])
        for name, seconds in {"a.json": [0.010, 0.011], "b.json": [0.012], "c.json": [0.013]}.items()
    }
    files = [bench(name, [row]) for name, row in rows.items()]
    side = make_side(files)
    assert side.files == ("a.json", "b.json", "c.json")
    sample = side.records[0].samples["images_per_second"]
    assert sample.values == pytest.approx([8 / (1.005 * each) for each in (0.010, 0.011, 0.012, 0.013)])
    assert sample.within == pytest.approx(statistics.stdev([1, 1.01]) / 1.005 / math.sqrt(2))
    assert make_side(files[::-1]) == side
    assert make_side(files[:1]).records[0].samples["images_per_second"].exact != sample.exact
    assert side.curves == {}  # what one of them says does not hold for all
    one_failed = bench("d.json", [("throughput", {}, [bad(0)])])
    assert make_side([*files, one_failed]).records[0].status == "oom"


def test_files_of_different_questions_make_one_side():
    throughput = bench("a.json", [("throughput", {}, [ok(0, [0.01])])])
    digits = SETTINGS | {"models": {"small": MODEL | {"image_size": 32}}}
    times = {"time_to_target_seconds": 1.0, "top1": 0.5, "train_seconds": 9.0}
    side = make_side([throughput, bench("b.json", [("accuracy", {}, [ok(0, [], **times)])], settings=digits)])
    assert [dict(record.key)["question"] for record in side.records] == ["throughput", "accuracy"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"settings": SETTINGS | {"threads": 4}}, "threads is 4, 2 in"),
        ({"settings": SETTINGS | {"models": {"small": MODEL | {"norm": "batch"}}}}, "small.norm is batch, group in"),
        ({"machine": MACHINE | {"gpu": {"devices": [CARD | {"name": "H100"}]}}}, "gpu is H100, H200 in"),
        ({"protocol": 2}, "protocol is 2, 1 in"),
    ],
)
def test_files_of_a_side_that_were_not_measured_alike_are_refused(changes, says):
    rows = [("throughput", {}, [ok(0, [0.01])])]
    files = [bench("a.json", rows), bench("b.json", rows, **changes)]
    with pytest.raises(BadInput, match=rf"^b\.json: .*{says} a\.json; "):
        make_side(files)
    with pytest.raises(BadInput):
        make_side(files[::-1])


def test_what_one_file_does_not_know_the_side_does_not_know():
    rows = [("throughput", {}, [ok(0, [0.01])])]
    silent = MACHINE | {"gpu": {"devices": [CARD]}, "software": MACHINE["software"] | {"source": {"commit": "other"}}}
    side = make_side([bench("a.json", rows), bench("b.json", rows, machine=silent)])
    assert side.machine["driver"] is None and side.machine["gpu"] == "H200"
    assert (side.commit, side.dirty) == (None, None)


def test_hostile_names_are_kept_as_they_are():
    name = "<b>a|b</b>\n`x` @you \x1b[31m \u202e"
    assert dict(record(("throughput", {"model": name}, [ok(0, [0.01])])).key)["model"] == name


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1, 0, True, "1", None, [], {}])
def test_a_time_that_is_none_is_refused_by_file_row_and_key(value):
    file = bench("head.json", [("throughput", {}, [ok(0, [0.01, 0.02])])])
    file.document["fastbs"]["rows"][0]["block_seconds"][0][1] = value
    with pytest.raises(BadInput, match=r"^head\.json: throughput small .* 8: block_seconds\[0\]\[1\]: .* above 0"):
        make_side([file])
