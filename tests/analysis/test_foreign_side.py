import math

import numpy as np
import pytest

from fastbs.analysis.comparison.records import Start
from fastbs.analysis.comparison.sides import make_side
from fastbs.errors import BadInput
from fastbs.results.measurement_files import MeasurementFile


def foreign(name, *benchmarks, **more):
    return MeasurementFile(name, "foreign", {"benchmarks": list(benchmarks)} | more)


def benchmark(fullname, median=0.01, params=None, param=None, **stats):
    stats = {"median": median, "iqr": 0.001, "rounds": 100} | stats
    return {"fullname": fullname, "params": params, "param": param, "stats": stats}


def test_a_foreign_file_is_one_process_of_each_benchmark():
    side = make_side([foreign("b.json", benchmark("t::a", 0.02)), foreign("a.json", benchmark("t::a", 0.01))])
    assert [record.key for record in side.records] == [(("question", "benchmark"), ("fullname", "t::a"))]
    assert side.records[0].samples["seconds"].values == (0.01, 0.02)
    assert side.workload == {}


def test_the_error_of_a_foreign_median_is_that_of_samples_from_a_normal_distribution():
    draws = np.random.default_rng(7).normal(1.0, 0.05, (4000, 101))
    truth = np.median(draws, axis=1).std()
    found = []
    for rounds in draws[:200]:
        quartiles = np.quantile(rounds, [0.25, 0.75])
        given = benchmark("t", float(np.median(rounds)), iqr=float(quartiles[1] - quartiles[0]), rounds=101)
        found.append(make_side([foreign("a", given)]).records[0].samples["seconds"].within)
        raw = benchmark("t", float(np.median(rounds)), iqr=None, rounds=None, data=rounds.tolist())
        assert make_side([foreign("a", raw)]).records[0].samples["seconds"].within == pytest.approx(found[-1])
    assert np.mean(found) == pytest.approx(truth, rel=0.05)


@pytest.mark.parametrize("stats", [{"rounds": 1}, {"iqr": None}, {"rounds": None}, {"iqr": None, "data": [0.01]}])
def test_a_foreign_benchmark_without_spread_says_so(stats):
    assert make_side([foreign("a", benchmark("t", **stats))]).records[0].samples["seconds"].within is None


def test_a_parameter_that_is_a_batch_size_makes_a_curve():
    sizes = [
        benchmark(f"t.py::step[fp32-{size}]", params={"precision": "fp32", "bs": size}, param=f"fp32-{size}")
        for size in (1, 8)
    ]
    records = make_side([foreign("a", *sizes, benchmark("t.py::other[8]", params={"n": 8}, param="8"))]).records
    assert [record.batch_size for record in records] == [1, 8, None]
    assert {record.curve for record in records[:2]} == {
        (("question", "benchmark"), ("fullname", "t.py::step[precision=fp32]"))
    }
    assert dict(records[2].key)["fullname"] == "t.py::other[8]"


@pytest.mark.parametrize("size", ["8", 8.0, True, None, [8], 0, -8])
def test_a_batch_size_is_a_whole_number(size):
    file = foreign("a", benchmark("t[8]", params={"batch_size": size}, param="8"))
    if size in (0, -8) and size is not True:
        with pytest.raises(BadInput, match="batch_size"):
            make_side([file])
    else:
        assert make_side([file]).records[0].key == (("question", "benchmark"), ("fullname", "t[8]"))


def test_benchmarks_that_share_a_place_on_a_curve_keep_their_names():
    alike = [benchmark(f"t[{word}-8]", params={"batch_size": 8}, param=f"{word}-8") for word in ("a", "b")]
    alone = benchmark("t[8]", params={"batch_size": 16}, param="8")
    names = [dict(record.key) for record in make_side([foreign("a", *alike, alone)]).records]
    assert [name["fullname"] for name in names] == ["t[a-8]", "t[b-8]", "t"]
    assert [name.get("batch_size") for name in names] == [None, None, 16]
    with pytest.raises(BadInput, match=r"benchmarks\[0\]\.fullname: another benchmark has the same name"):
        make_side([foreign("a", benchmark("t"), benchmark("t"))])


def test_the_facts_of_a_foreign_file_are_its_processor_and_software():
    machine = {"node": "runner-7", "cpu": {"brand_raw": "EPYC"}, "python_version": "3.12.1", "system": "Linux"}
    commit = {"id": "abc", "dirty": True}
    side = make_side([foreign("a", benchmark("t"), machine_info=machine | {"machine": "x86_64"}, commit_info=commit)])
    assert side.machine == {"cpu": "EPYC", "python": "3.12.1", "system": "Linux x86_64"}
    assert (side.commit, side.dirty) == ("abc", True)
    bare = make_side([foreign("a", benchmark("t"), commit_info={"id": "unversioned"})])
    assert bare.machine == {"cpu": None, "python": None, "system": None} and bare.commit is None


@pytest.mark.parametrize(
    ("written", "start"),
    [
        ("2015-08-15T00:01:57.053896+00:00", 1439596917.053896),
        ("2015-08-15T00:01:57.053896", 1439596917.053896),  # files of before it said so are UTC too
        ("2015-08-15T02:01:57+02:00", 1439596917.0),
        ("yesterday", None),
        (None, None),
    ],
)
def test_a_file_says_when_and_where_it_was_written(written, start):
    given = foreign("a", benchmark("t"), datetime=written, machine_info={"node": "runner"})
    assert make_side([given]).starts == (None if start is None else Start(start, start, "runner"),)


def test_hostile_names_are_kept_as_they_are():
    name = "t::<b>a|b</b>\n`x` @you \x1b[31m \u202e"
    assert dict(make_side([foreign("a.json", benchmark(name))]).records[0].key)["fullname"] == name


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1, 0, True, "1", None, [], {}])
def test_a_time_that_is_none_is_refused_by_file_benchmark_and_key(value):
    with pytest.raises(BadInput, match=r"^head\.json: t::a: median: .* is not a number above 0; ") as refused:
        make_side([foreign("head.json", benchmark("t::a", value))])
    assert "\n" not in str(refused.value)
