"""fastbs compare as it is typed: exit codes 0 to 5, one line for what cannot be used."""

import json
import math
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fastbs.analysis.bench_document import bench_document
from fastbs.bench.truth.records import dataset, plan_document, planned_run, run_config, run_record, write_sweep
from fastbs.config import SweepConfig
from fastbs.results.files import write_json

ROOT = Path(__file__).resolve().parents[2]
SECONDS = {1: 0.002, 8: 0.004, 64: 0.02}
MACHINE = {
    "gpu": {"devices": [{"name": "H200", "memory_bytes": 150 << 30}], "driver": "580.1"},
    "cpu": {"model": "EPYC"},
}


def fastbs(*arguments, folder=None, env=None):
    return subprocess.run(
        [sys.executable, "-m", "fastbs", *map(str, arguments)],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "GITHUB_STEP_SUMMARY"}
        | {"PYTHONPATH": str(ROOT)}
        | (env or {}),
        capture_output=True,
        text=True,
    )


def bench(path, seconds=SECONDS, *, seed, processes=5, sd=0.005, machine=MACHINE, threads=2, failed=(), model="small"):
    """A bench file whose processes vary by `sd` around these seconds per step."""
    draw = random.Random(seed)
    cells, outcomes = [], []
    for size, step in seconds.items():
        identity = {"model": model, "precision": "bf16", "loader": "synthetic", "input": "synthetic", "step": "eager"}
        cells.append({"question": "throughput", "identity": identity | {"allocator": "fastbs", "batch_size": size}})
        outcomes.append(
            [
                {"process": process, "status": "failed", "reason": "no luck", "value": None}
                if size in failed
                else {"process": process, "status": "ok", "reason": None, "value": sample(size, step, sd, draw)}
                for process in range(1 if size in failed else processes)
            ]
        )
    settings = {"plan": {}, "device": "cuda", "threads": threads, "dataset": None, "models": {}}
    document = bench_document(cells, outcomes, settings=settings, machine=machine, timed="invented")
    write_json(path, {"benchmarks": [], "machine_info": {}, "fastbs": document})
    return path


def sample(size, step, sd, draw):
    step *= math.exp(draw.gauss(0, sd))
    blocks = [[100, 100 * step * math.exp(draw.gauss(0, 0.002)), 0, None] for _ in range(5)]
    return {"blocks": blocks, "images": size}


@pytest.fixture
def base(tmp_path):
    return bench(tmp_path / "base.json", seed=1)


def test_the_same_code_passes(tmp_path, base):
    done = fastbs("compare", base, bench(tmp_path / "head.json", seed=2))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "same" in done.stdout and done.stderr == ""


def test_a_slower_size_is_1_and_named(tmp_path, base):
    head = bench(tmp_path / "head.json", SECONDS | {8: 0.0044}, seed=2)
    done = fastbs("compare", base, head, "--format", "json")
    assert done.returncode == 1
    rows = {row["batch_size"]: row for row in json.loads(done.stdout)["rows"]}
    assert [rows[size]["verdict"] for size in (1, 8, 64)] == ["same", "slower", "same"]
    assert rows[8]["change"] == pytest.approx(1 / 1.1 - 1, abs=0.02)
    assert fastbs("compare", base, head).stdout.count("slower") >= 1


@pytest.mark.parametrize("changes", [{"seconds": {1: 0.002, 8: 0.004}}, {"failed": (64,)}])
def test_a_row_that_is_missing_or_failed_in_head_is_1(tmp_path, base, changes):
    done = fastbs("compare", base, bench(tmp_path / "head.json", seed=2, **changes))
    assert done.returncode == 1 and ("missing" in done.stdout or "failed" in done.stdout)


def test_a_gate_decides_and_says_which_rule_fired(tmp_path, base):
    head = bench(tmp_path / "head.json", SECONDS | {8: 0.0044}, seed=2)
    gate = tmp_path / "gate.toml"
    gate.write_text('version = 1\n[metrics.images_per_second]\nworse_than = "12.5%"\nat = "all"\n')
    assert fastbs("compare", base, head, "--gate", gate).returncode == 0
    gate.write_text('version = 1\n[metrics.images_per_second]\nworse_than = "4.5%"\nat = [8]\n')
    done = fastbs("compare", base, head, "--gate", gate)
    assert done.returncode == 1 and "4.5 %" in done.stdout


def test_another_gpu_is_3_unless_it_is_allowed(tmp_path, base):
    other = json.loads(json.dumps(MACHINE).replace("H200", "H100"))
    head = bench(tmp_path / "head.json", seed=2, machine=other)
    done = fastbs("compare", base, head)
    assert done.returncode == 3 and "H100" in done.stdout
    assert fastbs("compare", base, head, "--allow", "gpu").returncode == 0


def test_another_workload_is_3(tmp_path, base):
    done = fastbs("compare", base, bench(tmp_path / "head.json", seed=2, threads=4))
    assert done.returncode == 3 and "threads" in done.stdout


def test_what_cannot_be_told_is_4_when_asked_for(tmp_path):
    base, head = (bench(tmp_path / f"{seed}.json", seed=seed, sd=0.2) for seed in (1, 2))
    assert fastbs("compare", base, head).returncode == 0
    done = fastbs("compare", base, head, "--fail-on-cannot-tell")
    assert done.returncode == 4 and "cannot tell" in done.stdout


def test_nothing_in_common_is_5(tmp_path, base):
    done = fastbs("compare", base, bench(tmp_path / "head.json", seed=2, model="resnet50"))
    assert done.returncode == 5


def foreign(path, medians):
    benchmarks = [
        {
            "name": name,
            "fullname": f"bench/test.py::{name}",
            "param": None,
            "params": None,
            "stats": stats(median),
        }
        for name, median in medians.items()
    ]
    write_json(path, {"machine_info": {"cpu": {"brand_raw": "EPYC"}}, "commit_info": {}, "benchmarks": benchmarks})
    return path


def stats(median):
    return {"median": median, "iqr": median / 50, "rounds": 50, "mean": median, "stddev": 0.0, "min": median}


def test_files_of_pytest_benchmark_are_compared_by_process(tmp_path):
    sides = []
    for side, factor in (("base", 1.0), ("head", 1.3)):
        (tmp_path / side).mkdir()
        for process in range(5):
            draw = random.Random(f"{side}{process}")
            medians = {"test_a": 0.01 * draw.gauss(1, 0.01), "test_b[x|<b>]": 0.02 * factor * draw.gauss(1, 0.01)}
            foreign(tmp_path / side / f"{process}.json", medians)
        sides.append(tmp_path / side)
    done = fastbs("compare", *sides, "--format", "json")
    assert done.returncode == 1, done.stderr
    assert [row["verdict"] for row in json.loads(done.stdout)["rows"]] == ["same", "slower"]
    table = fastbs("compare", f"{tmp_path}/base/*.json", f"{tmp_path}/head/*.json", "--format", "markdown").stdout
    assert "x|<b>" not in table  # neither a column more nor an element of HTML


def one_process(path, seed, sd=0.3):
    draw = random.Random(seed)
    return foreign(path, {f"test_{row}": 0.01 * math.exp(draw.gauss(0, sd)) for row in range(18)})


def test_one_file_a_side_without_a_calibration_fails_no_gate_and_says_that_it_is_blind(tmp_path):
    base, head = (one_process(tmp_path / f"{seed}.json", seed) for seed in (1, 2))
    done = fastbs("compare", base, head)
    assert done.returncode == 0 and done.stdout.splitlines()[0] == "blind: any rise in seconds would have passed"
    assert "All 18 cannot tell" in done.stdout and "slower" not in done.stdout and " %" in done.stdout
    assert fastbs("compare", base, head, "--fail-on-cannot-tell").returncode == 4
    rows = json.loads(fastbs("compare", base, head, "--format", "json").stdout)["rows"]
    assert {row["verdict"] for row in rows} == {"cannot tell"} and None not in [row["change"] for row in rows]


def test_a_noisy_gate_says_first_what_would_have_passed(tmp_path):
    base, head = (bench(tmp_path / f"{seed}.json", seed=seed, sd=0.2) for seed in (1, 2))
    done = fastbs("compare", base, head)
    assert done.returncode == 0
    assert re.fullmatch(r"blind: a fall of \d+ % in images_per_second would have passed", done.stdout.splitlines()[0])
    assert fastbs("compare", base, head, "--fail-on-cannot-tell").returncode == 4
    calm = [bench(tmp_path / f"calm-{seed}.json", seed=seed) for seed in (1, 2)]
    assert "blind" not in fastbs("compare", *calm).stdout


def sweep_on_disk(folder, change=0.0, seeds=3, seed=1, sd=0.01):
    """A sweep of four sizes, as fastbs writes it; `seed` draws its noise."""
    draw = random.Random(seed)
    config = SweepConfig(run=run_config(model="small", epochs=2.0), batch_sizes=(1, 8, 32, 64), seeds=seeds)
    planned = [planned_run(config, "main", size, number) for size in config.batch_sizes for number in range(seeds)]
    records = [
        run_record(run, [500, 1000], [0.5, round(0.85 + draw.gauss(0, sd) + change, 4)], step_seconds=0.002)
        for run in planned
    ]
    write_sweep(folder, plan_document(config, dataset(), planned), records)
    return folder


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_a_copy_of_a_sweep_with_five_points_less_in_every_run_is_1(tmp_path, seeds):
    base, copy = (sweep_on_disk(tmp_path / name, seeds=seeds) for name in ("base", "copy"))
    worse = sweep_on_disk(tmp_path / "worse", -0.05, seeds=seeds)
    done = fastbs("compare", base, worse, "--format", "json")
    assert done.returncode == 1, done.stdout + done.stderr
    rows = [row for row in json.loads(done.stdout)["rows"] if row["metric"] == "top1"]
    assert {row["verdict"] for row in rows} == {"worse"} and {row["spread_from"] for row in rows} == {"seeds"}
    assert fastbs("compare", base, copy).returncode == 0


def test_a_sweep_that_lost_five_points_with_noise_of_its_own_is_1(tmp_path):
    base, still = (sweep_on_disk(tmp_path / f"{seed}", seeds=5, seed=seed) for seed in (1, 2))
    worse = sweep_on_disk(tmp_path / "worse", -0.05, seeds=5, seed=3)
    assert fastbs("compare", base, still).returncode == 0
    done = fastbs("compare", base, worse)
    assert done.returncode == 1 and "4 with worse top1" in done.stdout.replace("4 of 8", "4")


def test_a_calibration_of_sessions_is_read_from_files_of_several_days(tmp_path):
    days = []
    for day in range(3):
        for process in range(3):
            path = one_process(tmp_path / f"{day}-{process}.json", 10 * day + process, sd=0.01)
            write_json(path, json.loads(path.read_text()) | {"datetime": f"2026-12-0{day + 1}T10:0{process}:00"})
            days.append(path)
    done = fastbs("calibrate", "--sessions", *days, "--json", tmp_path / "noise.json")
    assert done.returncode == 0 and "between sessions" in done.stdout, done.stderr
    assert {row["sessions"] for row in json.loads((tmp_path / "noise.json").read_text())["rows"]} == {3}
    compared = fastbs("compare", days[0], days[3], "--noise-file", tmp_path / "noise.json", "--format", "json")
    found = json.loads(compared.stdout)
    assert found["sessions"] == {"base": 1, "head": 1, "shared": 0, "calibrated": True}
    assert {row["spread_from"] for row in found["rows"]} == {"calibration"}
    for wrong in (["--sessions"], [str(days[0])]):
        assert fastbs("calibrate", *wrong).returncode == 2
    alone = fastbs("calibrate", "--sessions", *days[:3])
    assert alone.returncode == 2 and "one session" in alone.stderr and alone.stderr.count("\n") == 1


def test_the_markdown_goes_to_the_step_summary_too(tmp_path, base):
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    head = bench(tmp_path / "head.json", seed=2)
    done = fastbs("compare", base, head, env={"GITHUB_STEP_SUMMARY": str(summary)})
    text = summary.read_text()
    assert text.startswith("before\n") and "<!-- fastbs:compare:default -->" in text
    assert "<!--" not in done.stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not a readable JSON"),
        ('{"benchmarks": [{"full', "not a readable JSON"),
        ("[1, 2]", "not a JSON object"),
        ('{"hello": 1}', "not a"),
        ('{"benchmarks": []}', "no measurement"),
        ("[" * 100_000, "head.json"),
        ('{"benchmarks": [{"fullname": "t", "stats": {"median": NaN, "iqr": 0, "rounds": 5}}]}', "t"),
        ('{"benchmarks": [{"fullname": "t", "stats": {"median": -1, "iqr": 0, "rounds": 5}}]}', "t"),
        ('{"benchmarks": [{"fullname": "t", "stats": {"median": 1e999, "iqr": 0, "rounds": 5}}]}', "t"),
        ('{"fastbs": {"kind": "bench", "schema": 99, "rows": []}}', "update fastbs"),
        ('{"benchmarks": "' + "x" * 50_000_000 + '"}', "head.json"),
    ],
    ids=["empty", "truncated", "list", "foreign", "nothing", "deep", "nan", "negative", "infinite", "newer", "huge"],
)
def test_bad_files_are_2_and_one_line(tmp_path, base, content, said):
    head = tmp_path / "head.json"
    head.write_text(content)
    done = fastbs("compare", base, head)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("fastbs: ")
    assert "head.json" in done.stderr and said in done.stderr and len(done.stderr) < 500


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["base.json"], "BASE HEAD"),
        (["base.json", "nowhere.json"], "nowhere.json"),
        (["base.json", "*.nothing"], "*.nothing"),
        (["base.json", "base.json", "--margin", "3"], "3%"),
        (["base.json", "base.json", "--allow", "gqu"], "gqu"),
        (["base.json", "base.json", "--metric", "speed"], "speed"),
        (["base.json", "base.json", "--gate", "nowhere.toml"], "nowhere.toml"),
        (["base.json", "base.json", "--noise-file", "base.json"], "base.json"),
    ],
)
def test_bad_usage_is_2_and_one_line(tmp_path, base, arguments, said):
    done = fastbs("compare", *arguments, folder=base.parent)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and said in done.stderr, done.stderr


def test_the_gate_proves_that_it_can_fail():
    done = fastbs("compare", "--self-test")
    assert done.returncode == 0 and "WRONG" not in done.stdout
    assert {f"exit code {code}" in done.stdout for code in (0, 1, 3, 4, 5)} == {True}


def test_the_dumped_gate_is_the_gate_that_holds_without_one(tmp_path, base):
    head = bench(tmp_path / "head.json", SECONDS | {8: 0.0044}, seed=2)
    dumped = fastbs("compare", "--dump-gate")
    (tmp_path / "gate.toml").write_text(dumped.stdout)
    with_file = fastbs("compare", base, head, "--gate", tmp_path / "gate.toml", "--format", "json")
    assert with_file.stdout == fastbs("compare", base, head, "--format", "json").stdout
    (tmp_path / "gate.toml").write_text(dumped.stdout + "\nslower = 3\n")
    assert "slower" in fastbs("compare", base, head, "--gate", tmp_path / "gate.toml").stderr


def test_compare_starts_without_torch_numpy_or_scipy(tmp_path, base):
    program = (
        "import sys\n"
        "from fastbs.cli import main\n"
        f"sys.argv = ['fastbs', 'compare', {str(base)!r}, {str(bench(tmp_path / 'head.json', seed=2))!r}]\n"
        "try:\n    main()\n"
        "finally:\n    print(sorted({'torch', 'numpy', 'scipy', 'pandas'} & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stderr == "[]\n", done.stderr
