"""The gate: what its file may say, what makes it fire, and that one which cannot fail is found out."""

import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.analysis.comparison.compare import compare
from fastbs.analysis.comparison.gate import DEFAULT_GATE, Gate, Rule
from fastbs.analysis.comparison.metrics import METRICS, PRIMARY
from fastbs.analysis.comparison.options import Options
from fastbs.analysis.comparison.records import Record, Sample, Side
from fastbs.analysis.comparison.self_test import self_test
from fastbs.errors import BadInput

SPREAD = (0.996, 0.998, 1.0, 1.002, 1.004)
NOISY = (0.4, 0.7, 1.0, 1.3, 1.6)


def gate(text):
    return Gate.parse("version = 1\n" + text, "gate.toml")


def rule(limit, at='"all"', metric="images_per_second"):
    return gate(f'[metrics.{metric}]\nworse_than = "{limit}"\nat = {at}\n')


def record(size, value, *, spread=SPREAD, metric="images_per_second", question="throughput", **more):
    key = (("question", question), ("model", "small"), ("batch_size", size))
    return Record(key, samples={metric: Sample(tuple(value * factor for factor in spread))}, **more)


def side(*records, machine=None):
    return Side(("file",), records, {}, machine or {})


def judged(base, head, gate):
    return compare(base, head, options=Options(), gate=gate)["gate"]


BASE = side(record(1, 100), record(8, 500), record(64, 900))
SLOWER = side(record(1, 100), record(8, 450), record(64, 900))  # 10 % at 8


@pytest.mark.parametrize(
    ("of", "code"),
    [
        (rule("0%"), 1),
        (rule("9%"), 1),
        (rule("11%"), 0),  # slower, and not by so much
        (rule("9%", "[8]"), 1),
        (rule("9%", "[1, 64]"), 0),
        (rule("2%", '"curve"'), 1),  # its mean is 3.5 % slower
        (rule("4%", '"curve"'), 0),
        (rule("0%", metric="update_us"), 0),
        (gate(""), 0),
    ],
)
def test_a_rule_fires_where_it_looks_and_beyond_its_limit(of, code):
    found = judged(BASE, SLOWER, of)
    assert found["exit_code"] == code and bool(found["fired"]) == bool(code)


def test_what_fired_says_rule_row_and_why():
    [fired] = judged(BASE, SLOWER, rule("3%"))["fired"]
    assert fired["rule"] == "images_per_second worse than 3 %"
    assert (fired["row"], fired["batch_size"]) == ("throughput small", 8)
    assert fired["why"].startswith("-10.0 % [-1") and fired["why"].endswith("]")
    [fired] = judged(BASE, SLOWER, rule("3%", "[8, 64]"))["fired"]
    assert fired["rule"] == "images_per_second worse than 3 % at B=8,64"


@pytest.mark.parametrize(("limit", "code"), [("0%", 0), ("1%", 1), ("2.5%", 0), ("5%", 0)])
@pytest.mark.parametrize("at", ['"all"', '"curve"'])
def test_a_limit_below_the_margin_is_not_hidden_by_what_is_called_the_same(limit, code, at):
    """2 % is within the margin of 3 %, and so the same, unless a rule is about less."""
    head = side(record(1, 98), record(8, 490), record(64, 882))
    assert judged(BASE, head, rule(limit, at))["exit_code"] == code


def test_what_became_better_fires_nothing():
    assert judged(SLOWER, BASE, rule("0%"))["exit_code"] == 0


@pytest.mark.parametrize(("limit", "code"), [("1.5 points", 1), ("2.5 points", 0)])
def test_points_are_points_and_no_percent(limit, code):
    base, head = (
        side(
            record(8, 1.0, spread=[top1 + d for d in (-0.002, -0.001, 0, 0.001, 0.002)], metric="top1", question="run")
        )
        for top1 in (0.50, 0.48)
    )
    assert judged(base, head, rule(limit, metric="top1"))["exit_code"] == code


@pytest.mark.parametrize("action", ["fail", "allow"])
def test_rows_that_are_missing_or_failed_fail_unless_that_is_allowed(action):
    missing, failed = side(*BASE.records[:2]), side(*BASE.records[:2], record(64, 0, spread=(), status="oom"))
    assert judged(BASE, missing, gate(f'missing = "{action}"'))["exit_code"] == (action == "fail")
    assert judged(BASE, failed, gate(f'failed = "{action}"'))["exit_code"] == (action == "fail")
    assert judged(missing, BASE, gate(""))["exit_code"] == judged(failed, BASE, gate(""))["exit_code"] == 0


def test_why_a_row_failed_is_said():
    head = side(*BASE.records[:2], record(64, 0, spread=(), status="oom", reason="out of memory"))
    [fired] = judged(BASE, head, gate(""))["fired"]
    assert (fired["rule"], fired["batch_size"], fired["why"]) == ("no row failed", 64, "out of memory")


def test_what_cannot_be_told_is_4_only_where_a_rule_looks_and_only_if_asked():
    base, head = (side(record(8, value, spread=NOISY), *BASE.records[:1]) for value in (500, 450))
    for at, strict_code in (('"all"', 4), ("[8]", 4), ("[1]", 0)):
        lenient = rule("3%", at)
        assert judged(base, head, lenient)["exit_code"] == 0
        assert judged(base, head, replace(lenient, cannot_tell="fail"))["exit_code"] == strict_code


def test_a_rule_is_blind_where_a_change_of_its_size_could_not_have_been_seen():
    base, head = (side(record(8, value, spread=NOISY)) for value in (500, 450))
    [blind] = judged(base, head, rule("3%"))["blind"]
    assert blind["batch_size"] == 8 and blind["why"].startswith("smallest visible change ")
    assert judged(base, head, rule("5000%"))["blind"] == []
    far = side(record(8, 5, spread=NOISY))  # as noisy, and told all the same
    assert judged(base, far, rule("3%"))["blind"] == [] and judged(base, far, rule("3%"))["fired"]
    one = side(record(8, 450, spread=(1.0,)))  # nothing known of its spread
    assert "nothing says" in judged(base, one, rule("3%"))["blind"][0]["why"]


def test_a_rule_that_looks_where_nothing_was_measured_is_blind_and_not_content():
    for at, why in (("[8, 7]", "batch size 7"), ('"curve"', "no curve")):
        [blind] = judged(side(BASE.records[1]), side(BASE.records[1]), rule("3%", at))["blind"]
        assert why in blind["why"] and blind["row"] is None
    strict = replace(rule("3%", "[7]"), cannot_tell="fail")
    assert judged(BASE, BASE, strict)["exit_code"] == 4
    assert judged(BASE, BASE, rule("3%", "[7]", metric="update_us"))["blind"] == []  # a rule for other files


def test_not_comparable_comes_before_what_fired_and_nothing_matched_before_both():
    other = side(*SLOWER.records, machine={"gpu": "B"})
    known = replace(BASE, machine={"gpu": "A"})
    assert judged(known, other, rule("0%"))["exit_code"] == 3
    alone = side(replace(BASE.records[0], key=(("question", "data"),)), machine={"gpu": "B"})
    assert judged(known, alone, rule("0%"))["exit_code"] == 5
    assert compare(known, other, options=Options(allow=frozenset({"gpu"})), gate=rule("0%"))["gate"]["exit_code"] == 1


def test_the_default_gate_has_a_rule_for_every_metric_that_is_compared_unasked():
    found = Gate.parse(DEFAULT_GATE, "gate")
    assert {rule.metric for rule in found.rules} == {name for names in PRIMARY.values() for name in names}
    assert {(rule.worse_than, rule.at) for rule in found.rules} == {(0.0, "all")}
    assert (found.missing, found.failed, found.cannot_tell) == ("fail", "fail", "allow")


@given(
    st.sampled_from(sorted(METRICS)),
    st.floats(0, 1000),
    st.one_of(st.sampled_from(["all", "curve"]), st.lists(st.integers(1, 9999), min_size=1, max_size=4)),
)
def test_what_is_written_is_what_is_read(metric, limit, at):
    unit = " points" if METRICS[metric].scale == "points" else "%"
    where = f'"{at}"' if isinstance(at, str) else str(at)
    found = rule(f"{limit!r}{unit}", where, metric)
    assert found.rules == (Rule(metric, limit / 100, at if isinstance(at, str) else tuple(at)),)
    assert found.to_json()["metrics"] == {metric: {"worse_than": limit / 100, "at": at}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version = 1\n[metrics", "not a TOML file"),
        ("", "version is None"),
        ("version = 2", "version is 2"),
        ("version = true", "version is True"),
        ("version = 1\nslower = 3", "'slower' is unknown"),
        ('version = 1\nmissing = "ignore"', "missing is 'ignore'"),
        ("version = 1\ncannot_tell = true", "cannot_tell is True"),
        ("version = 1\nmetrics = 3", "metrics is 3"),
        ('version = 1\n[metrics.speed]\nworse_than = "3%"', "metrics.speed: unknown"),
        ("version = 1\n[metrics]\ntop1 = 3", "metrics.top1: is 3"),
        ('version = 1\n[metrics.top1]\nat = "all"', "metrics.top1.worse_than: missing"),
        ('version = 1\n[metrics.top1]\nworse_than = "3%"', "'3%' is no limit"),
        ('version = 1\n[metrics.seconds]\nworse_than = "3 points"', "'3 points' is no limit"),
        ("version = 1\n[metrics.seconds]\nworse_than = 3", "3 is no limit"),
        ('version = 1\n[metrics.seconds]\nworse_than = "-3%"', "'-3%' is no limit"),
        ('version = 1\n[metrics.seconds]\nworse_than = "nan%"', "'nan%' is no limit"),
        ('version = 1\n[metrics.seconds]\nworse_than = "inf%"', "'inf%' is no limit"),
        ('version = 1\n[metrics.seconds]\nworse_than = "3%"\nwhere = "all"', "'where' is unknown"),
        ('version = 1\n[metrics.seconds]\nworse_than = "3%"\nat = "8"', "metrics.seconds.at: '8'"),
        ('version = 1\n[metrics.seconds]\nworse_than = "3%"\nat = []', "metrics.seconds.at: []"),
        ('version = 1\n[metrics.seconds]\nworse_than = "3%"\nat = [0]', "metrics.seconds.at: [0]"),
        ('version = 1\n[metrics.seconds]\nworse_than = "3%"\nat = [true]', "metrics.seconds.at: [True]"),
    ],
)
def test_what_is_no_gate_is_refused_by_name(text, said):
    with pytest.raises(BadInput) as refused:
        Gate.parse(text, "gate.toml")
    assert str(refused.value).startswith("gate.toml: ") or str(refused.value).startswith("gate.toml: metrics")
    assert said in str(refused.value) and "\n" not in str(refused.value)


@given(st.dictionaries(st.sampled_from(["missing", "failed", "metrics", "version"]), st.booleans() | st.integers()))
def test_no_value_of_a_known_key_is_anything_but_refused(values):
    text = "".join(f"{name} = {str(value).lower()}\n" for name, value in values.items())
    tomllib.loads(text)
    if values != {"version": 1} or isinstance(values["version"], bool):
        with pytest.raises(BadInput):
            Gate.parse(text, "gate.toml")


@pytest.mark.parametrize(
    "of",
    [
        Gate.parse(DEFAULT_GATE, "gate"),
        gate(""),
        rule("40%"),
        rule("99%", "[3, 8]"),
        rule("5%", '"curve"'),
        rule("300%", metric="update_us"),
        rule("10 points", metric="top1"),
        rule("5%", metric="memory_bytes"),
        gate('missing = "allow"'),
    ],
)
def test_a_gate_that_can_fail_passes_its_self_test(of):
    results = self_test(of)
    assert all(got == expected for _, expected, got in results), results
    assert {expected for _, expected, _ in results} >= {0, 3, 5}


@pytest.mark.parametrize(
    "of",
    [
        rule("1000%"),  # no speed falls by more than 100 %
        rule("60 points", metric="top1"),
        rule("3 points", '"curve"', metric="top1"),  # there are no curves of it
        gate('missing = "allow"\nfailed = "allow"'),
    ],
)
def test_a_gate_that_cannot_fail_is_found_out(of):
    assert [what for what, expected, got in self_test(of) if got != expected]


@pytest.mark.parametrize(
    ("limit", "spread", "passed"),
    [
        ("0%", 1.0, []),  # sees 0.4 % and less
        ("0%", 20.0, [pytest.approx(0.12, abs=0.01)]),
        ("30%", 20.0, []),
        ("3%", 8.0, [pytest.approx(0.05, abs=0.005)]),
        ("0%", None, [None]),
    ],
)
def test_what_would_have_passed_is_said_once_for_each_rule(limit, spread, passed):
    factors = (1.0,) if spread is None else [1 + spread * (factor - 1) for factor in SPREAD]
    base, head = (side(record(8, value, spread=factors)) for value in (500, 499))
    found = judged(base, head, rule(limit))
    assert [unseen["change"] for unseen in found["unseen"]] == passed
    assert found["exit_code"] == 0 and judged(base, head, replace(rule(limit), cannot_tell="fail"))["exit_code"] == (
        4 if spread != 1.0 else 0
    )
    assert bool(found["blind"]) == bool(passed)


def test_one_rule_of_several_rows_says_the_largest_and_in_how_many():
    rows = [record(1, 100), record(8, 500, spread=NOISY), record(64, 900, spread=(0.9, 0.95, 1.0, 1.05, 1.1))]
    base, head = (
        side(*rows),
        side(
            *(replace(row, samples=dict(row.samples)) for row in rows[:1]),
            *(
                record(size, value, spread=spread)
                for size, value, spread in ((8, 510, NOISY), (64, 905, (0.9, 0.95, 1.0, 1.05, 1.1)))
            ),
        ),
    )
    [unseen] = judged(base, head, rule("0%"))["unseen"]
    assert (unseen["rows"], unseen["of"], unseen["metric"]) == (2, 3, "images_per_second")
    assert 0.2 < unseen["change"] < 1  # a speed falls by less than all of it


def test_a_rule_that_looks_where_nothing_is_would_let_anything_pass():
    [unseen] = judged(BASE, BASE, rule("3%", "[7]"))["unseen"]
    assert (unseen["change"], unseen["rows"], unseen["of"]) == (None, 0, 0)
