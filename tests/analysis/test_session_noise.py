"""Sessions: which files share one, how far two lie apart, and what a comparison makes of it."""

import datetime
import math
import random
import statistics

import pytest

from fastbs.analysis.comparison.calibration import Calibration
from fastbs.analysis.comparison.compare import compare
from fastbs.analysis.comparison.gate import DEFAULT_GATE, Gate
from fastbs.analysis.comparison.options import Options
from fastbs.analysis.comparison.records import Start
from fastbs.analysis.comparison.session_noise import session_calibration
from fastbs.analysis.comparison.sessions import left_over, session_numbers
from fastbs.analysis.comparison.sides import make_side
from fastbs.errors import BadInput
from fastbs.results.measurement_files import MeasurementFile

HOUR, DAY = 3600.0, 86_400.0
GATE = Gate.parse(DEFAULT_GATE, "gate")


def file(name, at, logs, node="n"):
    """A pytest-benchmark file of one process that was written so many seconds after some day."""
    written = (datetime.datetime(2026, 12, 1) + datetime.timedelta(seconds=at)).isoformat() if at is not None else None
    benchmarks = [
        {"fullname": f"t::{row}", "params": None, "stats": {"median": 0.01 * math.exp(log), "iqr": 1e-5, "rounds": 50}}
        for row, log in enumerate(logs)
    ]
    return MeasurementFile(
        name, "foreign", {"datetime": written, "machine_info": {"node": node}, "benchmarks": benchmarks}
    )


def files(seed, days, *, processes=3, rows=4, sd=0.01, session_sd=0.0, shift=0.0):
    """Processes of each of these days, a minute apart; every day has luck that all rows share."""
    draw, found = random.Random(seed), []
    for day in days:
        luck = random.Random(f"{seed} {day}").gauss(0, session_sd) + shift
        for process in range(processes):
            logs = [luck + draw.gauss(0, sd) for _ in range(rows)]
            found.append(file(f"{seed}-{day}-{process}", day * DAY + 60 * process, logs))
    return found


def compared(base, head, **options):
    return compare(make_side(base), make_side(head), options=Options(**options), gate=GATE)


def test_a_session_ends_with_a_gap_of_an_hour_or_with_the_machine():
    starts = [Start(at, at, machine) for at, machine in ((0, "a"), (HOUR, "a"), (2 * HOUR + 1, "a"), (10, "b"))]
    assert session_numbers(starts) == [0, 0, 1, 2]
    assert session_numbers([Start(0, 5 * HOUR, None), Start(5.5 * HOUR, 5.5 * HOUR, None)]) == [0, 0]


def test_the_luck_that_is_left_in_a_change_is_that_of_sessions_the_sides_do_not_share():
    assert left_over([0, 0], [0]) == 0 and left_over([0], [1]) == 2 and left_over([0, 1], [2, 3]) == 1
    assert left_over([0, 1], [1, 0]) == 0 and left_over([0, 0, 1], [0, 1, 1]) == pytest.approx(2 / 9)


def test_files_without_a_time_are_compared_as_ever():
    base, head = ([file(f"{name}{k}", None, [0.001 * k]) for k in range(5)] for name in "ab")
    assert compared(base, head)["sessions"] is None


def test_one_session_a_side_allows_for_the_luck_of_a_session():
    base, head = files("a", [0], processes=5), files("b", [1], processes=5, shift=0.06)
    together = [file(f"h{k}", 600 + k, [0.06 + 0.01 * (-1) ** k] * 4) for k in range(5)]
    assert {row["verdict"] for row in compared(base, together)["rows"]} == {"slower"}
    apart = compared(base, head)
    assert apart["sessions"] == {"base": 1, "head": 1, "shared": 0, "calibrated": False}
    assert {row["verdict"] for row in apart["rows"]} == {"cannot tell"}
    assert {row["verdict"] for row in compared(base, head, noise=0.001)["rows"]} == {"slower"}
    far = compared(base, files("b", [1], processes=5, shift=0.3))
    assert far["gate"]["exit_code"] == 1


def test_several_sessions_a_side_are_what_replicates_and_shared_ones_are_pairs():
    base, head = files("a", range(4), session_sd=0.05), files("b", range(4, 8), session_sd=0.05)
    rows = compared(base, head)["rows"]
    assert {row["spread_from"] for row in rows} == {"sessions"} and {row["base"]["processes"] for row in rows} == {12}
    shared = [file(f"h{day}-{k}", day * DAY + 300 + k, [0.05 * day + 0.04] * 2) for day in range(4) for k in range(2)]
    of_base = [file(f"b{day}-{k}", day * DAY + k, [0.05 * day + 0.001 * k] * 2) for day in range(4) for k in range(2)]
    assert {row["verdict"] for row in compared(of_base, shared)["rows"]} == {"slower"}


@pytest.mark.parametrize(("base_days", "head_days"), [([0], [1]), (range(3), range(3, 6))])
def test_sessions_that_differ_raise_no_more_alarms_than_agreed(base_days, head_days):
    trials, alarms = 200, 0
    for seed in range(trials):
        base = files(f"a{seed}", base_days, session_sd=0.03)
        head = files(f"b{seed}", head_days, session_sd=0.03)
        alarms += compared(base, head)["gate"]["exit_code"]
    assert alarms / trials <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / trials)


def test_the_components_of_variance_are_those_that_the_files_were_made_with():
    found = [
        session_calibration(files(seed, range(8), processes=4, sd=0.01, session_sd=0.03))["rows"][0]
        for seed in range(60)
    ]
    assert {(row["df"], row["session_df"], row["sessions"]) for row in found} == {(24, 7, 8)}
    assert statistics.fmean(row["noise"] ** 2 for row in found) == pytest.approx(2 * 0.01**2, rel=0.15)
    assert statistics.fmean(row["session_noise"] ** 2 for row in found) == pytest.approx(2 * 0.03**2, rel=0.3)


def test_a_calibration_of_sessions_makes_one_file_a_side_believable_and_old_ones_are_read():
    document = session_calibration(files("c", range(6), processes=4, sd=0.002, session_sd=0.002))
    known = Calibration.from_json(document, "noise.json")
    base, head = files("a", [0], processes=1, sd=0.002), files("b", [1], processes=1, sd=0.002, shift=0.05)
    found = compared(base, head, calibration=known)
    assert {row["verdict"] for row in found["rows"]} == {"slower"} and found["sessions"]["calibrated"]
    old = {**document, "rows": [{k: v for k, v in row.items() if "session" not in k} for row in document["rows"]]}
    assert Calibration.from_json(old, "old.json").sessions == {}
    assert {
        row["verdict"] for row in compared(base, head, calibration=Calibration.from_json(old, "old.json"))["rows"]
    } == {"cannot tell"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda: files("a", [0]), "all files are of one session"),
        (lambda: [*files("a", [0]), file("x", None, [0.0] * 4)], "x: does not say when it was measured"),
        (lambda: files("a", range(3), processes=1), "no row has two processes in one session"),
    ],
)
def test_files_that_show_no_sessions_are_refused(given, said):
    with pytest.raises(BadInput, match=said):
        session_calibration(given())
