import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fastbs.cli import fastbs
from fastbs.config import RunConfig, SweepConfig
from fastbs.results.record import Evaluation, Result
from fastbs.results.run_folder import RunFolder
from fastbs.results.sweep_folder import SweepFolder

SIZES = (4, 16, 64, 256)
DATASET = {"name": "photos", "train": 6000, "validation": 500, "test": None, "split": "-", "imbalance": 1.0}
DATASET |= {"fingerprint": "f"}


def write_run(folder, size, seed, config):
    """E(B) = 8,000 (1 + B / 64) images to .75, t(B) = 4 ms + 0.1 ms a image; the curve ends at .9."""
    images, step = 8_000 * (1 + size / 64) * (1 + seed / 100), 0.004 + 0.0001 * size
    run = RunFolder(folder.path / "runs" / f"b{size:04d}-s{seed}")
    own = config.run.replace(batch_size=size, seed=seed)
    run.begin(arm="main", config=own.to_json(), dataset=DATASET, machine={})
    for part in range(1, 13):
        at = images * part / 10
        numbers = {"images": int(at), "updates": int(at / size), "train_seconds": at / size * step, "lr": 0.01}
        numbers |= {"wall_seconds": at / size * step + 3, "top1": 0.75 * part / 10, "balanced_top1": 0.5}
        run.append(Evaluation(**numbers, train_loss=1.0, train_top1=0.5, loss=1.0))
    values = dict.fromkeys(Result.__dataclass_fields__, 1) | {
        "step_seconds": step,
        "images": int(at),
        "update_seconds": None,
    }
    values |= {"energy_joules": None, "energy_source": None, "train_seconds": at / size * step}
    run.finish("ok", None, Result(**values | {"peak_memory_bytes": 10**9 + size * 10**6}))


@pytest.fixture
def swept(tmp_path):
    """Writes the folder of a finished sweep; its rate follows `lr_rule`."""

    def write(lr_rule="linear"):
        run = RunConfig(data="photos", target=0.75, device="cpu", threads=1, precision="fp32", eval_images=500)
        config = SweepConfig(run=run, batch_sizes=SIZES, seeds=3, lr_rule=lr_rule)
        folder = SweepFolder(tmp_path / f"sweep-{lr_rule}")
        folder.open()
        planned = [(size, seed) for size in SIZES for seed in range(3)]
        runs = [
            {
                "id": f"b{size:04d}-s{seed}",
                "arm": "main",
                "config": config.run.replace(batch_size=size, seed=seed).to_json(),
            }
            for size, seed in planned
        ]
        plan = {"resolved": config.to_json(), "requested": config.to_json(), "dataset": DATASET, "machine": {}}
        folder.write_plan(plan | {"parameters": 1, "norm": "group", "tuning": [], "runs": runs})
        for size, seed in planned:
            write_run(folder, size, seed, config)
        return str(folder.path)

    return write


def advise(*words):
    return CliRunner().invoke(fastbs, ["advise", *words])


def test_the_recommendation_stands_first_and_the_command_on_a_line_of_its_own(swept):
    said = advise(swept())
    assert said.exit_code == 0 and said.stdout.startswith("USE BATCH SIZE ")
    [command] = [line for line in said.stdout.splitlines() if line.strip().startswith("fastbs train photos ")]
    assert "--batch-size" in command
    assert all(len(line) <= 120 for line in said.stdout.splitlines() if "fastbs " not in line and "/3" not in line)
    assert not {"nan", "inf", "None"} & set(said.stdout.replace("[", " ").replace("]", " ").split())


def test_json_is_the_file_that_is_kept_and_csv_has_a_row_for_each_size(swept, tmp_path):
    folder, out = swept(), tmp_path / "a" / "advice.json"
    said = advise(folder, "--format", "json", "--out", str(out))
    assert said.stdout == out.read_text() and json.loads(said.stdout)["kind"] == "advice"
    assert said.stdout == advise(folder, "--format", "json", "--out", str(out)).stdout
    rows = list(csv.DictReader(io.StringIO(advise(folder, "--format", "csv").stdout)))
    assert [int(row["batch_size"]) for row in rows if row["measured"] == "True"] == list(SIZES)
    assert advise(folder, "--format", "markdown").stdout.count("\n|") >= len(SIZES) + 2


def test_limits_have_units_and_the_binding_one_is_said(swept):
    folder = swept()
    assert "binding limit: none" in advise(folder, "--deadline", "8h", "--max-memory", "80G").stdout
    tight = advise(folder, "--max-memory", "1005M", "--format", "json")
    assert tight.exit_code == 0 and json.loads(tight.stdout)["binding"] == "max_memory"
    impossible = advise(folder, "--deadline", "10ms")
    assert impossible.exit_code == 1 and "deadline would have to be" in impossible.stdout
    wrong = advise(folder, "--deadline", "soon")
    assert wrong.exit_code == 2 and "write 10m or 8h" in wrong.stderr


def test_a_constant_rate_ends_with_4_and_the_next_command(swept):
    said = advise(swept("constant"))
    assert said.exit_code == 4 and "too little to go by" in said.stdout
    assert " next: fastbs sweep photos --batch-sizes 4,16,64,256 " in said.stdout and "--lr-rule linear" in said.stdout
    assert "USE BATCH SIZE" not in said.stdout and "fastbs train" not in said.stdout


@pytest.mark.parametrize("target", ["0", "1.5", "x"])
def test_a_target_is_a_fraction(swept, target):
    said = advise(swept(), "--target", target)
    assert said.exit_code == 2 or str(said.exception).startswith("target: ")


def test_what_is_no_record_is_refused_by_name(tmp_path, swept):
    (tmp_path / "images").mkdir()
    (tmp_path / "foreign.json").write_text('{"rows": []}')
    for path, why in (
        ("images", "holds no sweep of fastbs"),
        ("foreign.json", "not a bench"),
        ("none", "not a readable"),
    ):
        said = advise(str(tmp_path / path))
        assert str(tmp_path / path) in str(said.exception) and why in str(said.exception)
    said = advise(swept(), "--on", str(tmp_path / "foreign.json"))
    assert "foreign.json: not a bench" in str(said.exception)


def test_a_run_that_is_damaged_is_named(swept):
    folder = swept()
    path = f"{folder}/runs/b0004-s0/metrics.jsonl"
    with open(path, "w") as file:
        file.write('{"images": NaN}\n')
    assert path in str(advise(folder).exception)


def test_the_verb_of_the_package_gives_the_document_that_the_command_prints(swept):
    import fastbs as package

    folder = swept()
    document = package.advise([Path(folder)], deadline=600)
    assert document == json.loads(advise(folder, "--deadline", "10m", "--format", "json").stdout)
    assert document["recommended"] and document["limits"]["deadline"]["holds"]


def test_many_gpus_on_paper_are_the_law_of_the_runs_and_an_assumed_network(swept):
    folder = swept()
    document = json.loads(advise(folder, "--gpus", "1..8x2", "--link", "50GB", "--format", "json").stdout)
    assert [row["gpus"] for row in document["rows"]] == [1, 2, 4, 8] and document["kind"] == "scale"
    times = [row["seconds"] for row in document["rows"]]
    assert times == sorted(times, reverse=True)
    alone = json.loads(advise(folder, "--format", "json").stdout)
    assert times[0] == pytest.approx(alone["seconds"], rel=0.1)
    assert advise(folder, "--gpus", "1..8x2", "--link", "50GB").stdout.startswith("  GPUs    batch")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--gpus", "1,2"), "link: --gpus needs the bytes/s"),
        (("--gpus", "1,2", "--link", "50GB", "--format", "csv"), "printed as table, markdown or json"),
    ],
)
def test_what_gpus_need_is_said(swept, options, said):
    assert said in str(advise(swept(), *options).exception)


def test_gpus_at_one_constant_rate_are_refused(swept):
    assert "one constant rate" in str(advise(swept("constant"), "--gpus", "1,2", "--link", "50GB").exception)
