import json

import pytest
from click.testing import CliRunner
from scipy.stats import binom

from fastbs.bench import loaders as bench


def round_of(**images_per_second):
    """A round at batch size 8 in which each loader had this rate."""
    names = {"dali": "dali", "naive": bench.NAIVE, "fair": bench.FAIR}
    return [
        {"batch_size": 8, "loader": names[name], "images_per_second": rate, "first_batch_seconds": 0.1}
        for name, rate in images_per_second.items()
    ]


@pytest.mark.parametrize("n", [*range(1, 40), 200])
def test_the_interval_of_a_median_is_the_narrowest_that_covers_it_in_95_percent(n):
    interval = bench.median_interval(list(range(n, 0, -1)))
    coverage = {k: 1 - 2 * binom.cdf(k - 1, n, 0.5) for k in range(1, n // 2 + 1)}
    enough = [k for k, covered in coverage.items() if covered >= 0.95]
    assert interval == ((max(enough), n + 1 - max(enough)) if enough else None)


def test_ratios_are_taken_within_rounds():
    """A machine that becomes ten times slower changes no ratio."""
    rounds = [round_of(dali=200 * speed, naive=100 * speed, fair=160 * speed) for speed in (1, 10, 0.1, 3, 5, 7)]
    rows = {row["loader"]: row for row in bench.summary(rounds)}
    assert rows["dali"]["ratio_to_naive"] == pytest.approx(2)
    assert rows["dali"]["interval"]["ratio_to_naive"] == pytest.approx([2, 2])
    assert rows["dali"]["ratio_to_uint8"] == pytest.approx(1.25)
    assert rows[bench.FAIR]["ratio_to_naive"] == pytest.approx(1.6)
    assert rows[bench.NAIVE]["ratio_to_naive"] is None


def test_one_round_times_every_loader_at_every_size_and_says_why_it_cannot(small, photographs):
    rows = bench.timed_round(small.to_json(), [8, 3], image_size=32, threads=1, window=16, seed=0)
    assert {(row["batch_size"], row["loader"]) for row in rows} == {(b, name) for b in (3, 8) for name in bench.LOADERS}
    assert all(row["images_per_second"] > 0 and row["first_batch_seconds"] > 0 for row in rows)
    rows = bench.timed_round(photographs.to_json(), [4], image_size=128, threads=1, window=16, seed=0)
    refused = [row for row in rows if row["images_per_second"] is None]
    assert [row["loader"] for row in refused] == ["resident"] and "random-resized" in refused[0]["reason"]
    table = bench.as_table({"rows": bench.summary([rows]), "timed": "all of it"})
    assert "all of it" in table and "resident: augment: random-resized" in table


def test_the_command_prints_one_json_document(small):
    options = {"batch-sizes": 8, "rounds": 1, "image-size": 16, "threads": 1, "images": 16, "format": "json"}
    arguments = [small.root, *(f"--{name}={value}" for name, value in options.items())]
    result = CliRunner().invoke(bench.main, arguments, catch_exceptions=False)
    document = json.loads(result.stdout)
    assert document["kind"] == "loaders" and document["dataset"]["train"] >= 50
    assert [row["loader"] for row in document["rows"]] == list(bench.LOADERS)


@pytest.mark.parametrize("sizes", ["8,word", "0", "", "1000"])
def test_bad_batch_sizes_are_named_in_one_line_with_exit_code_2(small, sizes):
    result = CliRunner().invoke(bench.main, [small.root, "--batch-sizes", sizes])
    assert result.exit_code == 2
    assert result.stderr.startswith("fastbs: batch-sizes: ") and result.stderr.count("\n") == 1
