"""What must hold of every comparison, whatever was measured."""

import dataclasses
import itertools
import json
import math
import random
import statistics

import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fastbs.analysis.comparison.compare import compare
from fastbs.analysis.comparison.estimate import from_pairs, rank_test, welch
from fastbs.analysis.comparison.gate import DEFAULT_GATE, Gate
from fastbs.analysis.comparison.holm import holm_levels
from fastbs.analysis.comparison.options import Options
from fastbs.analysis.comparison.records import Record, Sample, Side
from fastbs.results.files import dump_json

GATE = Gate.parse(DEFAULT_GATE, "gate")
OPPOSITE = {"slower": "faster", "faster": "slower", "worse": "better", "better": "worse", "missing": "new"}
OPPOSITE |= {"new": "missing", "failed": "fixed", "fixed": "failed"}
METRICS = {"throughput": "images_per_second", "update": "update_us", "accuracy": "time_to_target_s", "run": "top1"}

speeds = st.floats(min_value=0.1, max_value=1e4)
fractions = st.floats(min_value=0, max_value=1)


@st.composite
def samples(draw, metric):
    one = {"top1": fractions, "time_to_target_s": st.one_of(speeds, st.just(math.inf))}.get(metric, speeds)
    values = draw(st.lists(one, min_size=1, max_size=6))
    return Sample(tuple(values), within=draw(st.one_of(st.none(), st.floats(0, 0.1))))


@st.composite
def records(draw):
    question = draw(st.sampled_from(sorted(METRICS)))
    key = (("question", question), ("model", draw(st.sampled_from("ab"))), ("batch_size", draw(st.integers(1, 4))))
    status = draw(st.sampled_from(["ok", "ok", "ok", "oom", "failed"]))
    has = status == "ok" or draw(st.booleans())
    return Record(
        key,
        status=status,
        reason=None if status == "ok" else "because",
        samples={METRICS[question]: draw(samples(METRICS[question]))} if has else {},
        clock_mhz=draw(st.one_of(st.none(), st.floats(200, 2000))),
        throttled_share=draw(st.one_of(st.none(), fractions)),
    )


@st.composite
def sides(draw):
    found = {record.key: record for record in draw(st.lists(records(), min_size=1, max_size=8))}
    machine = {"gpu": "one", "driver": draw(st.sampled_from(["1", "2"]))}
    return Side(("file",), tuple(found.values()), {}, machine)


def compared(base, head, **options):
    document = compare(base, head, options=Options(**options), gate=GATE)
    json.loads(dump_json(document))  # no NaN, no infinity, nothing that JSON has not
    return document


def by_key(document):
    return {(json.dumps(row["key"]), row["metric"]): row for row in document["rows"]}


@given(sides())
def test_a_side_compared_with_itself_is_the_same_everywhere(side):
    document = compared(side, side)
    for row in document["rows"]:
        assert row["verdict"] == ("same" if row["base"]["status"] == "ok" else "not ok")
    for curve in document["curves"]:
        assert curve["verdict"] == "same"
    assert document["gate"]["exit_code"] == 0


@settings(max_examples=200)
@given(sides(), sides())
def test_swapping_base_and_head_flips_every_sign(base, head):
    there, back = by_key(compared(base, head)), by_key(compared(head, base))
    assert there.keys() == back.keys()
    for key, row in there.items():
        other = back[key]
        assert other["verdict"] == OPPOSITE.get(row["verdict"], row["verdict"])
        assert (row["base"], row["head"]) == (other["head"], other["base"])
        assert other["p"] == pytest.approx(row["p"]) and other["level"] == pytest.approx(row["level"])
        if row["change"] is not None and row["metric"] == "top1":
            assert other["change"] == pytest.approx(-row["change"], abs=1e-9)
        elif row["change"] is not None:
            assert (1 + other["change"]) * (1 + row["change"]) == pytest.approx(1)


@given(sides(), sides(), st.randoms(use_true_random=False))
def test_order_of_rows_changes_nothing(base, head, shuffle):
    moved = [
        dataclasses.replace(side, records=tuple(shuffle.sample(side.records, len(side.records))))
        for side in (base, head)
    ]
    assert dump_json(compared(*moved)) == dump_json(compared(base, head))


@given(sides(), sides(), st.integers(0, 5))
def test_order_of_processes_changes_nothing(base, head, turn):
    """Turned alike in all rows, since the i-th processes of all sizes belong to one round."""

    def turned(side):
        return dataclasses.replace(
            side,
            records=tuple(
                dataclasses.replace(
                    record,
                    samples={
                        name: dataclasses.replace(sample, values=rotated(sample.values, turn))
                        for name, sample in record.samples.items()
                    },
                )
                for record in side.records
            ),
        )

    there, other = compared(base, head), compared(turned(base), turned(head))
    assert dump_json(there["rows"]) == dump_json(other["rows"]) and there["gate"] == other["gate"]


def rotated(values, turn):
    turn %= len(values)
    return values[turn:] + values[:turn]


@given(st.lists(speeds, min_size=3, max_size=6), st.lists(speeds, min_size=3, max_size=6), st.floats(1e-3, 1e3))
def test_the_unit_changes_nothing(base, head, unit):
    assume(statistics.stdev(map(math.log, base)) > 1e-6)
    rows = []
    for scale in (1.0, unit):
        made = [
            Side(
                ("f",),
                (Record((("question", "update"),), samples={"update_us": Sample(tuple(scale * v for v in values))}),),
                {},
                {},
            )
            for values in (base, head)
        ]
        rows.append(compared(*made)["rows"][0])
    assert rows[1]["change"] == pytest.approx(rows[0]["change"], rel=1e-6, abs=1e-9)
    assert rows[1]["p"] == pytest.approx(rows[0]["p"], rel=1e-4, abs=1e-12)


@pytest.mark.parametrize("sizes", [(5, 5), (5, 9), (12, 7), (30, 30)])
def test_welch_is_scipys_but_for_its_cautious_degrees_of_freedom(sizes):
    draw = random.Random(3)
    base, head = (
        [draw.gauss(shift, sd) for _ in range(n)] for n, shift, sd in zip(sizes, (0, 0.7), (1, 2), strict=True)
    )
    ours, theirs = welch(base, head), scipy.stats.ttest_ind(head, base, equal_var=False)
    assert ours.change / ours.se == pytest.approx(theirs.statistic)
    assert theirs.df - 0.5 <= ours.df <= theirs.df
    assert (
        ours.p == pytest.approx(2 * scipy.stats.t.sf(abs(theirs.statistic), ours.df), rel=1e-8)
        and ours.p >= theirs.pvalue
    )
    low, high = theirs.confidence_interval(0.95)
    assert ours.interval(0.05) == pytest.approx((low, high), abs=0.03 * (high - low))


def test_pairs_are_scipys():
    differences = [0.01, 0.03, -0.01, 0.02, 0.04]
    ours, theirs = from_pairs(differences), scipy.stats.ttest_1samp(differences, 0)
    assert ours.p == pytest.approx(theirs.pvalue)
    assert ours.interval(0.01) == pytest.approx(tuple(theirs.confidence_interval(0.99)))


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_ranks_are_dealt_in_every_way(base, head):
    ranks = scipy.stats.rankdata(base + head)
    centre = len(base) * (len(ranks) + 1) / 2
    deals = [abs(sum(ranks[list(deal)]) - centre) for deal in itertools.combinations(range(len(ranks)), len(base))]
    seen = abs(sum(ranks[: len(base)]) - centre)
    assert rank_test(base, head) == pytest.approx(statistics.fmean(deal >= seen - 1e-9 for deal in deals))


@pytest.mark.parametrize("seed", range(5))
def test_ranks_without_ties_are_scipys_exact_test(seed):
    draw = random.Random(seed)
    base, head = [draw.gauss(0, 1) for _ in range(5)], [draw.gauss(1, 1) for _ in range(6)]
    assert rank_test(base, head) == pytest.approx(scipy.stats.mannwhitneyu(base, head, method="exact").pvalue)


def test_many_ranks_are_the_normal_approximation():
    draw = random.Random(5)
    base, head = [draw.gauss(0, 1) for _ in range(40)], [draw.gauss(0.5, 1) for _ in range(35)]
    theirs = scipy.stats.mannwhitneyu(base, head, method="asymptotic", use_continuity=True)
    assert rank_test(base, head) == pytest.approx(theirs.pvalue, rel=1e-6)


def test_times_that_are_never_reached_are_worse_than_any():
    hits, misses = Sample((3.0, 4.0, 5.0, 6.0, 7.0)), Sample((math.inf,) * 5)
    key = (("question", "accuracy"), ("batch_size", 8))
    base, head = (Side(("f",), (Record(key, samples={"time_to_target_s": one}),), {}, {}) for one in (hits, misses))
    row = compared(base, head)["rows"][0]
    assert row["verdict"] == "failed" and row["change"] is None and row["notes"] == ["no run reached the target"]
    assert row["p"] == pytest.approx(2 / math.comb(10, 5)) and row["spread_from"] == "ranks"
    assert compared(base, head)["gate"]["exit_code"] == 1
    assert compared(base, head)["gate"]["fired"][0]["why"] == "no run reached the target"
    assert compared(head, base)["rows"][0]["verdict"] == "fixed"
    some = Sample((7.5, math.inf, math.inf, math.inf, math.inf))
    worse = Side(("f",), (Record(key, samples={"time_to_target_s": some}),), {}, {})
    assert compared(base, worse)["rows"][0]["verdict"] == "slower"
    assert compared(head, head)["rows"][0]["verdict"] == "same"


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=30))
def test_holm_rejects_what_its_definition_rejects(p):
    levels = holm_levels(p, 0.05)
    tested = sorted((value, index) for index, value in enumerate(p) if value is not None)
    rejected = set()
    for k, (value, index) in enumerate(tested):
        if value > 0.05 / (len(tested) - k):
            break
        rejected.add(index)
    for index, (value, level) in enumerate(zip(p, levels, strict=True)):
        assert (level is None) == (value is None)
        assert (value is not None and value <= level) == (index in rejected)


def test_a_gap_that_the_clock_explains_is_not_called_faster():
    def side(speed, clock):
        values = tuple(speed * (1 + 0.001 * i) for i in range(5))
        key = (("question", "throughput"), ("batch_size", 8))
        return Side(("f",), (Record(key, samples={"images_per_second": Sample(values)}, clock_mhz=clock),), {}, {})

    row = compared(side(1000, 1500), side(1200, 1800))["rows"][0]
    assert row["verdict"] == "cannot tell" and row["notes"] == ["faster by clock only"]
    assert compared(side(1000, 1500), side(1200, 1500))["rows"][0]["verdict"] == "faster"


def test_a_small_change_beside_another_driver_cannot_be_told_and_a_large_one_can():
    def side(speed, driver):
        values = tuple(speed * (1 + 0.001 * i) for i in range(5))
        record = Record((("question", "throughput"), ("batch_size", 8)), samples={"images_per_second": Sample(values)})
        return Side(("f",), (record,), {}, {"driver": driver})

    row = compared(side(1000, "570"), side(950, "580"))["rows"][0]
    assert row["verdict"] == "cannot tell" and row["notes"] == ["driver 570 -> 580 could explain it"]
    assert compared(side(1000, "570"), side(850, "580"))["rows"][0]["verdict"] == "slower"
    assert compared(side(1000, "570"), side(950, "580"), allow=frozenset({"driver"}))["rows"][0]["verdict"] == "slower"
