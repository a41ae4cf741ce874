"""Curves over batch sizes: what is said of one as a whole, and how often that is true."""

import dataclasses
import math
import random

import pytest

from fastbs.analysis.comparison.calibration import Calibration
from fastbs.analysis.comparison.compare import compare
from fastbs.analysis.comparison.curves import find_curves
from fastbs.analysis.comparison.gate import DEFAULT_GATE, Gate
from fastbs.analysis.comparison.options import Options
from fastbs.analysis.comparison.records import Record, Sample, Side
from fastbs.analysis.comparison.rows import make_pairings

GATE = Gate.parse(DEFAULT_GATE, "gate")
CURVE = (("question", "throughput"), ("model", "small"))
SIZES = (1, 8, 64)
TRIALS = 400


def key(size):
    return (*CURVE, ("batch_size", size))


def side(by_size, *, curves=None, machine=None):
    """From {batch size: images/s of each process, or a status}."""
    records = []
    for size, values in by_size.items():
        if isinstance(values, str):
            records.append(Record(key(size), status=values, reason="because"))
        else:
            sample = Sample(tuple(values), within=0.001)
            records.append(Record(key(size), samples={"images_per_second": sample}))
    return Side(("file",), tuple(records), {}, machine or {}, curves={CURVE: curves} if curves else {})


def curves_of(base, head, **options):
    return compare(base, head, options=Options(**options), gate=GATE)["curves"]


def curve_of(base, head, **options):
    [curve] = curves_of(base, head, **options)
    return curve


def measured(draw, processes, *, luck=0.0, sd=0.0, factors=(1.0, 1.0, 1.0)):
    """`luck` is of a process at all sizes together (a round of the machine), `sd` of each size apart."""
    rounds = [draw.gauss(0, luck) for _ in range(processes)]
    return side(
        {
            size: [100 * size * factor * math.exp(shared + draw.gauss(0, sd)) for shared in rounds]
            for size, factor in zip(SIZES, factors, strict=True)
        }
    )


def test_the_change_is_the_geometric_mean_and_the_worst_size_has_its_own_row():
    draw = random.Random(1)
    base = measured(draw, 5, sd=0.002)
    curve = curve_of(base, measured(draw, 5, sd=0.002, factors=(1.0, 0.8, 0.9)))
    assert curve["batch_sizes"] == [1, 8, 64] and curve["name"] == "throughput small"
    assert curve["change"] == pytest.approx((0.8 * 0.9) ** (1 / 3) - 1, abs=0.005)
    assert curve["interval"][0] < curve["change"] < curve["interval"][1] < 0
    assert curve["verdict"] == "slower"
    assert curve["worst"]["batch_size"] == 8 and curve["worst"]["change"] == pytest.approx(-0.2, abs=0.01)
    assert curve["head"] == pytest.approx([100, 640, 5760], rel=0.01)


def test_of_a_metric_that_should_be_low_the_worst_size_is_the_one_that_grew_most():
    def update(seconds):
        records = [
            Record(
                (("question", "update"), ("batch_size", size)),
                samples={"update_us": Sample(tuple(value * (1 + 0.001 * i) for i in range(5)))},
            )
            for size, value in seconds.items()
        ]
        return Side(("file",), tuple(records), {}, {})

    curve = curve_of(update({1: 10, 8: 10, 64: 10}), update({1: 8, 8: 12, 64: 10}))
    assert curve["worst"]["batch_size"] == 8 and curve["worst"]["change"] == pytest.approx(0.2)


@pytest.mark.parametrize(("luck", "sd"), [(0.02, 0.0), (0.0, 0.02), (0.015, 0.015)])
def test_the_interval_covers_the_true_change_in_95_percent_of_trials(luck, sd):
    """Also where a round is slow at all sizes at once: sizes of one round are no replicates."""
    draw, held = random.Random(f"{luck} {sd}"), 0
    for _ in range(TRIALS):
        base, head = (measured(draw, 5, luck=luck, sd=sd, factors=(factor,) * 3) for factor in (1.0, 0.95))
        low, high = curve_of(base, head)["interval"]
        held += low <= -0.05 <= high
    assert held / TRIALS >= 0.95 - 2 * math.sqrt(0.05 * 0.95 / TRIALS)


def test_sizes_with_other_numbers_of_processes_are_taken_as_independent():
    draw, held = random.Random(3), 0
    for _ in range(TRIALS):
        base, head = (
            side(
                {
                    size: [math.exp(draw.gauss(0, 0.02)) for _ in range(n)]
                    for size, n in zip(SIZES, (5, 6, 8), strict=True)
                }
            )
            for _ in "AB"
        )
        low, high = curve_of(base, head)["interval"]
        held += low <= 0 <= high
    assert held / TRIALS >= 0.95 - 2 * math.sqrt(0.05 * 0.95 / TRIALS)
    assert held < TRIALS * 0.99  # and no wider than that


def noise_file(sizes, noise):
    return Calibration("noise.json", {(*sorted(key(size)), "images_per_second"): (noise, 30.0) for size in sizes})


def test_one_process_a_side_is_as_lucky_at_many_sizes_as_at_one():
    se = []
    for sizes in ([1, 2], range(1, 40)):
        base, head = (side({size: [1.0] for size in sizes}) for _ in "AB")
        sides = make_pairings(base, head, None, Options(calibration=noise_file(sizes, 0.05)), {})
        [curve] = find_curves(base, head, sides)
        se.append(curve.estimate.se)
    assert se[0] == pytest.approx(se[1]) and se[0] > 0.05


def test_one_process_a_side_without_a_calibration_tells_nothing_of_a_curve():
    draw = random.Random(4)
    curve = curve_of(measured(draw, 1), measured(draw, 1, factors=(0.5,) * 3))
    assert curve["verdict"] == "cannot tell" and curve["interval"] is curve["smallest_visible"] is None
    assert curve["change"] == pytest.approx(-0.5)


def test_noise_that_is_calibrated_row_by_row_holds_for_their_curve_too():
    draw = random.Random(5)
    base, head = measured(draw, 1), measured(draw, 1, factors=(0.97,) * 3)
    assert curve_of(base, head)["verdict"] == "cannot tell"
    assert curve_of(base, head, margin=0.01, calibration=noise_file(SIZES, 0.005))["verdict"] == "slower"


def test_a_curve_needs_two_sizes_that_both_sides_have_measured():
    assert curves_of(side({1: [1.0] * 5, 8: [2.0] * 5}), side({1: [1.0] * 5, 8: "oom"})) == []
    assert curves_of(side({1: [1.0] * 5, 8: [2.0] * 5}), side({1: [1.0] * 5, 64: [2.0] * 5})) == []
    base, head = ({1: [1.0] * 5, 8: [2.0] * 5, 64: last} for last in ([4.0] * 5, "oom"))
    assert curve_of(side(base), side(head))["batch_sizes"] == [1, 8]


def test_where_the_curve_ends_and_where_its_knee_is_are_said_of_both_sides():
    base = side({1: [1.0] * 5, 8: [8.0] * 5, 64: [9.0] * 5, 512: "oom"}, curves={"knee": 6.0, "within_5_percent": 8})
    head = side({1: [1.1] * 5, 8: [8.1] * 5, 64: "oom", 512: "oom"}, curves={"knee": 9.0, "within_5_percent": None})
    curve = curve_of(base, head)
    assert curve["largest_ok"] == [64, 8] and curve["smallest_oom"] == [512, 64]
    assert curve["knee"] == [6.0, 9.0] and curve["within_5_percent"] is None


def test_times_of_which_some_are_misses_have_no_mean_and_so_no_curve():
    def times(last):
        records = [
            Record((("question", "run"), ("batch_size", size)), samples={"time_to_target_s": Sample((3.0, 4.0, value))})
            for size, value in {1: 5.0, 8: last}.items()
        ]
        return Side(("file",), tuple(records), {}, {})

    assert len(curves_of(times(5.0), times(6.0))) == 1
    assert curves_of(times(5.0), times(math.inf)) == []


def test_points_have_no_curve():
    records = [
        Record((("question", "run"), ("batch_size", size)), samples={"top1": Sample((0.8, 0.81, 0.82))})
        for size in (1, 8)
    ]
    one = Side(("file",), tuple(records), {}, {})
    assert curves_of(one, one) == []


def test_another_driver_may_explain_a_small_change_of_a_curve_too():
    draw = random.Random(6)
    base, head = measured(draw, 5, sd=0.002), measured(draw, 5, sd=0.002, factors=(0.95,) * 3)
    assert curve_of(base, head)["verdict"] == "slower"
    drivers = [Side(one.files, one.records, {}, {"driver": name}) for one, name in ((base, "570"), (head, "580"))]
    assert curve_of(*drivers)["verdict"] == "cannot tell"


def test_a_curve_that_only_its_clock_made_slower_is_not_called_slower():
    draw = random.Random(7)
    base, head = measured(draw, 5, sd=0.002), measured(draw, 5, sd=0.002, factors=(0.85,) * 3)
    clocked = [
        dataclasses.replace(one, records=tuple(dataclasses.replace(record, clock_mhz=clock) for record in one.records))
        for one, clock in ((base, 2000.0), (head, 1700.0))
    ]
    assert curve_of(base, head)["verdict"] == "slower"
    assert curve_of(*clocked)["verdict"] == "cannot tell"
    assert curve_of(clocked[0], head)["verdict"] == "slower"
