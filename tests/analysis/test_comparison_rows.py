"""The rows of a comparison: what stands in each, for what is on both sides and for what is not."""

import math
from dataclasses import replace

import numpy as np
import pytest

from fastbs.analysis.comparison.calibration import Calibration, calibration_document
from fastbs.analysis.comparison.compare import compare
from fastbs.analysis.comparison.gate import DEFAULT_GATE, Gate
from fastbs.analysis.comparison.options import Options
from fastbs.analysis.comparison.overdispersion import refutes
from fastbs.analysis.comparison.records import Record, Sample, Side
from fastbs.errors import BadInput
from fastbs.results.files import SCHEMA

GATE = Gate.parse(DEFAULT_GATE, "gate")
SPREAD = (0.997, 0.999, 1.0, 1.002, 1.004)
FIVE_POINTS = (-0.002, -0.001, 0.0, 0.001, 0.002)


def key(size, question="throughput", **more):
    return (("question", question), ("model", "small"), *more.items(), ("batch_size", size))


def record(size, value, *, spread=SPREAD, within=0.001, **more):
    sample = Sample(tuple(value * factor for factor in spread), within=within)
    return Record(key(size), samples={"images_per_second": sample}, **more)


def side(*records):
    return Side(("file",), records, {}, {})


def rows_of(base, head, **options):
    return compare(base, head, options=Options(**options), gate=GATE)["rows"]


def row_of(base, head, **options):
    [row] = rows_of(side(base), side(head), **options)
    return row


def test_what_is_on_one_side_or_ended_badly_is_said_and_not_tested():
    bad = {size: Record(key(size), status="oom", reason="out of memory") for size in (8, 64, 512)}
    base = side(record(1, 100), record(2, 100), record(8, 100), bad[64], bad[512])
    head = side(record(2, 100.1), record(4, 100), bad[8], record(64, 100), bad[512])
    rows = rows_of(base, head)
    assert [(row["batch_size"], row["verdict"], row["worse"]) for row in rows] == [
        (1, "missing", True),
        (2, "same", None),
        (4, "new", None),
        (8, "failed", True),
        (64, "fixed", False),
        (512, "not ok", None),
    ]
    assert [row["p"] is not None for row in rows] == [size == 2 for size in (1, 2, 4, 8, 64, 512)]
    assert rows[3]["head"] == {"status": "oom", "reason": "out of memory", "value": None, "processes": 0}
    assert rows[0]["head"]["status"] is None and rows[0]["change"] is None


def test_rows_come_by_batch_size_as_a_number_and_questions_in_their_order():
    metrics = {"data": "images_per_second", "throughput": "images_per_second"}
    records = [
        Record(key(size, question), samples={metric: Sample((1.0, 2.0))})
        for question, metric in metrics.items()
        for size in (64, 8, 128, 1)
    ]
    found = rows_of(side(*records), side(*records))
    assert [row["batch_size"] for row in found] == [1, 8, 64, 128] * 2
    assert [row["key"]["question"] for row in found] == ["throughput"] * 4 + ["data"] * 4


def test_a_row_that_ended_badly_is_there_once_whatever_its_question_measures():
    base = Record(key(8, "run"), samples={"top1": Sample((0.8, 0.9)), "images_per_second": Sample((5.0, 6.0))})
    found = rows_of(side(base), side(Record(key(8, "run"), status="failed")))
    assert [row["verdict"] for row in found] == ["failed"]
    assert [row["verdict"] for row in rows_of(side(base), side())] == ["missing"]
    assert len(rows_of(side(base), side(base))) == 2


def test_a_row_that_is_the_same_is_so_at_its_own_level_and_the_others_share_theirs():
    rows = rows_of(
        side(*(record(size, 100) for size in range(1, 6))),
        side(*(record(size, 99.8) for size in range(1, 5)), record(5, 50)),
    )
    assert [row["verdict"] for row in rows] == ["same"] * 4 + ["slower"]
    assert [row["level"] for row in rows] == [0.05] * 4 + [pytest.approx(0.05 / 6)]  # five rows and their curve


@pytest.mark.parametrize(("clocks", "verdict"), [((1800, 1500), "cannot tell"), ((1500, 1800), "slower")])
def test_a_longer_time_at_a_lower_clock_is_no_slower_code(clocks, verdict):
    base, head = (
        Record(key(8, "update"), samples={"update_us": Sample(tuple(us * f for f in SPREAD))}, clock_mhz=clock)
        for us, clock in zip((100, 120), clocks, strict=True)
    )
    row = row_of(base, head)
    assert row["verdict"] == verdict and row["clock_mhz"] == list(clocks)
    assert row["notes"] == (["slower by clock only"] if verdict == "cannot tell" else [])


def test_a_row_is_said_in_its_metrics_own_unit():
    row = row_of(record(8, 500), record(8, 450))
    assert row["base"]["value"] == pytest.approx(500, rel=1e-3) and row["base"]["processes"] == 5
    assert row["change"] == pytest.approx(-0.1) and row["interval"][0] < -0.1 < row["interval"][1] < 0
    assert (row["verdict"], row["worse"], row["level"], row["spread_from"]) == ("slower", True, 0.05, "processes")
    assert row["name"] == "throughput small" and row["key"]["batch_size"] == row["batch_size"] == 8


def test_an_interval_excludes_no_change_exactly_in_rows_that_are_called_changed():
    factors = {size: 1 - 0.0012 * size for size in range(1, 15)}
    rows = rows_of(
        side(*(record(size, 100) for size in factors)),
        side(*(record(size, 100 * factor) for size, factor in factors.items())),
        margin=0.0,
    )
    assert {row["verdict"] for row in rows} == {"slower", "cannot tell"}
    for row in rows:
        low, high = row["interval"]
        assert (low > 0 or high < 0) == (row["verdict"] == "slower") == (row["p"] <= row["level"])


def test_all_metrics_that_are_asked_for_are_judged_together():
    samples = {
        "images_per_second": Sample(tuple(100 * factor for factor in SPREAD)),
        "memory_bytes": Sample(tuple(1e9 * factor for factor in SPREAD)),
    }
    one, other = (Record(key(8), samples=samples, throttled_share=share) for share in (0.0, 0.123))
    [row] = rows_of(side(one), side(other))
    assert row["metric"] == "images_per_second"
    found = rows_of(side(one), side(other), metrics=("memory_bytes",))
    assert [row["metric"] for row in found] == ["images_per_second", "memory_bytes"]  # the gate's are always there
    only_memory = compare(
        side(one), side(other), options=Options(metrics=("memory_bytes",)), gate=Gate.parse("version = 1", "gate")
    )
    assert [row["metric"] for row in only_memory["rows"]] == ["memory_bytes"]
    with pytest.raises(BadInput, match="'speed' is unknown"):
        rows_of(side(one), side(other), metrics=("speed",))


def test_a_throttled_side_is_named_and_stays_what_it_is():
    row = row_of(record(8, 500), record(8, 450, throttled_share=0.123))
    assert row["verdict"] == "slower" and row["notes"] == ["throttled 12 % of the time in HEAD"]
    assert row_of(record(8, 500), record(8, 450, throttled_share=0.005))["notes"] == []


def test_the_very_same_measurement_is_the_same_however_noisy_and_an_equal_one_need_not_be():
    noisy = record(8, 500, spread=(0.5, 1.0, 1.5))
    row = row_of(noisy, noisy)
    assert row["verdict"] == "same" and row["notes"] == ["the same measurements"]
    values = noisy.samples["images_per_second"].values
    other = Record(key(8), samples={"images_per_second": Sample(values, exact="another day")})
    assert row_of(noisy, other)["verdict"] == "cannot tell"


@pytest.mark.parametrize("within", [None, 0.001])
@pytest.mark.parametrize("factor", [0.1, 0.94, 1.0001])
def test_one_process_a_side_tells_nothing_without_a_calibration(within, factor):
    row = row_of(
        record(8, 500, spread=(1.0,), within=within), record(8, 500 * factor, spread=(1.0,), within=within), noise=0.001
    )
    assert (row["verdict"], row["interval"], row["p"], row["level"]) == ("cannot tell", None, None, None)
    assert row["change"] == pytest.approx(factor - 1) and row["spread_from"] == "assumed"


def test_two_processes_a_side_tell_nothing_of_few_rows_and_something_of_many():
    def verdicts(rows):
        draw = np.random.default_rng(rows)
        base, head = (
            side(*(record(size, 500 * factor, spread=np.exp(draw.normal(0, 0.003, 2))) for size in range(1, rows + 1)))
            for factor in (1.0, 0.8)
        )
        return {row["verdict"] for row in rows_of(base, head)}

    assert verdicts(1) == verdicts(7) == {"cannot tell"} and verdicts(8) == verdicts(20) == {"slower"}


def calibrated(**of_row):
    rows = [{"key": dict(key(8)), "metric": "images_per_second", "noise": 0.01, "df": 19} | of_row]
    return Calibration.from_json(calibration_document(rows, settings={}, machine={}), "noise.json")


def test_calibrated_noise_replaces_the_assumed_of_rows_that_it_knows():
    one = {"spread": (1.0,)}
    found = rows_of(
        side(record(8, 500, **one), record(64, 500, **one)),
        side(record(8, 470, **one), record(64, 470, **one)),
        calibration=calibrated(),
    )
    assert [(row["verdict"], row["spread_from"]) for row in found] == [
        ("slower", "calibration"),
        ("cannot tell", "assumed"),
    ]


@pytest.mark.parametrize(("processes", "source"), [(1, "calibration"), (2, "calibration"), (4, "calibration")])
def test_few_processes_lean_on_the_calibration(processes, source):
    few = {"spread": SPREAD[:processes]}
    assert row_of(record(8, 500, **few), record(8, 490, **few), calibration=calibrated())["spread_from"] == source


def test_a_calibration_that_the_processes_contradict_is_left_aside():
    """HEAD's two processes lie 10 % either side of BASE's, and the calibration says 1 %."""
    rows = [{"key": dict(key(8)), "metric": "images_per_second", "noise": 0.01, "df": 19}]
    known = Calibration.from_json(calibration_document(rows, settings={}, machine={}), "noise.json")
    quiet, wild = record(8, 500, spread=(1.0, 1.005)), record(8, 450, spread=(0.9, 1.1))
    found = compare(side(quiet), side(wild), options=Options(calibration=known), gate=Gate(()))
    assert "as much as noise.json says; it is left aside" in found["settings"]["calibration_refuted"]
    assert found["rows"][0]["verdict"] == "cannot tell" and found["rows"][0]["spread_from"] == "assumed"
    calm = compare(
        side(quiet), side(record(8, 450, spread=(1.0, 1.01))), options=Options(calibration=known), gate=Gate(())
    )
    assert calm["settings"]["calibration_refuted"] is None and calm["rows"][0]["verdict"] == "slower"


def test_a_right_calibration_is_refuted_in_one_comparison_of_twenty():
    rng, sizes = np.random.default_rng(0), range(1, 11)
    rows = [
        {"key": dict(key(size)), "metric": "images_per_second", "noise": 0.02 * 2**0.5, "df": 200} for size in sizes
    ]
    known = Calibration.from_json(calibration_document(rows, settings={}, machine={}), "noise.json")

    def measured():
        return side(*(record(size, 500, spread=tuple(np.exp(0.02 * rng.standard_normal(3)))) for size in sizes))

    refuted = [refutes(known, measured(), measured()) is not None for _ in range(400)]
    assert 0.02 < sum(refuted) / len(refuted) < 0.09


def test_a_calibration_of_another_workload_is_refused():
    settings = {"device": "cpu", "threads": 16}
    rows = [{"key": dict(key(8)), "metric": "images_per_second", "noise": 0.01, "df": 19}]
    known = Calibration.from_json(calibration_document(rows, settings=settings, machine={}), "noise.json")
    here = replace(side(record(8, 500)), workload={"threads": 1, "device": "cpu"})
    with pytest.raises(BadInput, match="noise.json: noise of another workload, threads 16 and not 1; calibrate with"):
        compare(here, here, options=Options(calibration=known), gate=Gate(()))


def test_enough_processes_speak_for_themselves():
    assert row_of(record(8, 500), record(8, 490), calibration=calibrated())["spread_from"] == "processes"


def test_a_key_is_known_whatever_the_order_of_its_settings():
    turned = calibrated(key=dict(reversed(key(8))))
    assert turned.noise_of(key(8), "images_per_second") == (0.01, 19)
    assert turned.noise_of(key(64), "images_per_second") is turned.noise_of(key(8), "update_us") is None


def test_a_calibration_document_has_the_schema_of_all_others():
    document = calibration_document([], settings={"a": 1}, machine={"b": 2})
    assert (document["schema"], document["kind"], document["rows"]) == (SCHEMA, "calibration", [])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"noise": 0}, "noise"),
        ({"noise": math.nan}, "noise"),
        ({"noise": "5%"}, "noise"),
        ({"df": -1}, "df"),
        ({"metric": None}, "metric"),
        ({"key": 3}, "key"),
        ({"key": {"batch_size": [8]}}, "batch_size"),
    ],
)
def test_a_calibration_that_cannot_be_used_is_refused_by_its_key(wrong, said):
    with pytest.raises(BadInput) as refused:
        calibrated(**wrong)
    assert "noise.json" in str(refused.value) and said in str(refused.value) and "\n" not in str(refused.value)


def test_pairs_are_judged_as_pairs():
    draw = (1.0, 1.3, 0.8, 1.6, 0.7, 1.1)
    base = record(8, 500, spread=draw)
    head = record(8, 500, spread=[0.95 * luck * (1 + 0.001 * (-1) ** i) for i, luck in enumerate(draw)])
    row = row_of(base, head, paired=True)
    assert (row["verdict"], row["spread_from"]) == ("slower", "pairs") and row["change"] == pytest.approx(
        -0.05, abs=1e-3
    )
    assert row_of(base, head)["verdict"] == "cannot tell"
    one = record(8, 500, spread=(1.0,)), record(8, 400, spread=(1.0,))
    assert row_of(*one, paired=True)["verdict"] == "cannot tell"


def accuracy(top1):
    return Record(key(8, "run"), samples={"top1": Sample(tuple(top1))})


def test_top1_is_compared_in_points_and_needs_two_processes():
    base, head = ([mean + step for step in FIVE_POINTS] for mean in (0.90, 0.85))
    row = row_of(accuracy(base), accuracy(head))
    assert (row["verdict"], row["worse"]) == ("worse", True) and row["change"] == pytest.approx(-0.05)
    row = row_of(accuracy(base[:1]), accuracy(head[:1]))
    assert (row["verdict"], row["interval"]) == ("cannot tell", None) and row["change"] == pytest.approx(-0.05)


@pytest.mark.parametrize(("seeds", "verdict"), [(2, "cannot tell"), (3, "cannot tell"), (5, "worse")])
def test_fractions_that_are_equal_by_luck_say_nothing_of_their_spread_and_are_ranked(seeds, verdict):
    """Two seeds that both get 18 of 20 images right are no proof that all would."""
    row = row_of(accuracy([0.9] * seeds), accuracy([0.8] * seeds))
    assert (row["verdict"], row["spread_from"], row["interval"]) == (verdict, "ranks", None)
    assert row["p"] == pytest.approx(2 / math.comb(2 * seeds, seeds))


def test_the_document_names_its_sides_and_settings():
    base = Side(("b.json", "a.json"), (record(8, 1),), {}, {"gpu": "A"}, commit="abc", dirty=True)
    document = compare(
        base, base, options=Options(margin=0.02, allow=frozenset({"gpu"}), calibration=calibrated()), gate=GATE
    )
    assert document["base"] == {"files": ["a.json", "b.json"], "commit": "abc", "dirty": True}
    assert document["settings"] == {
        "margin": 0.02,
        "points_margin": 0.005,
        "alpha": 0.05,
        "noise": 0.05,
        "calibration": "noise.json",
        "calibration_refuted": None,
        "allow": ["gpu"],
        "metrics": None,
    }
    assert document["counts"] == {"same": 1}
