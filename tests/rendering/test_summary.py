import csv
import io
import json
import shlex

import pytest
from click.testing import CliRunner

from fastbs import config as settings
from fastbs.analysis.card import make_card
from fastbs.analysis.command_words import APART, ONLY_IN_FILES
from fastbs.analysis.summary import summarize
from fastbs.cli.executor_options import take_executor
from fastbs.cli.options import given
from fastbs.cli.sweep import sweep
from fastbs.config import RunConfig, SweepConfig
from fastbs.rendering.next_sweep import next_sweep
from fastbs.rendering.summary import render_summary
from fastbs.results.record import Evaluation, Result, RunRecord

MACHINE = {"cpu": {"model": "AMD EPYC 9354"}, "gpu": {"devices": [{"name": "NVIDIA H200"}]}}
RESOLVED = {
    "image_size": 32,
    "augment": "none",
    "precision": "bf16",
    "device": "cpu",
    "threads": 1,
    "eval_images": 1000,
}


def record(arm, size, seed, status="ok", reason=None, energy=None):
    evaluation = Evaluation(
        images=5000,
        updates=5000 // size,
        train_seconds=5.0 / size,
        wall_seconds=9.0,
        train_loss=0.5,
        train_top1=0.9,
        loss=0.6,
        top1=0.8 + seed / 100,
        balanced_top1=0.7,
        lr=0.01,
    )
    numbers = dict.fromkeys(Result.__dataclass_fields__, 1) | {
        "train_seconds": 5.0 / size,
        "step_seconds": 0.002 + 0.001 * size + seed * 1e-5,
        "update_seconds": 0.0005,
        "input_wait_seconds": 0.01,
        "energy_joules": energy,
        "energy_source": energy and "nvml",
    }
    ok = status == "ok"
    return RunRecord(
        id=f"b{size:04d}-s{seed}",
        arm=arm,
        batch_size=size,
        seed=seed,
        lr=0.01,
        status=status,
        reason=reason,
        result=Result(**numbers) if ok else None,
        evaluations=(evaluation,) if ok else (),
    )


def summary(*, runs=None, sizes=(1, 2, 4), seeds=2, name="digits", imbalance=1.0, machine=MACHINE, energy=None, **run):
    config = SweepConfig(
        run=RunConfig(**{"data": "/data/digits", "epochs": 5.0} | RESOLVED | run.pop("run", {})),
        batch_sizes=sizes,
        seeds=seeds,
        **run,
    )
    plan = [("main", size, seed) for size in sizes for seed in range(seeds)]
    plan += [("same-updates", sizes[-1], seed) for seed in range(seeds)] if len(sizes) > 1 else []
    dataset = {"name": name, "train": 1000, "validation": 300, "test": None, "split": "25 %", "imbalance": imbalance}
    runs = [record(*which, energy=energy) for which in plan] if runs is None else runs
    document = summarize(config=config.to_json(), dataset=dataset, machine=machine, runs=runs, planned=plan)
    cards = [make_card(config, size, "group").to_json() for size in config.batch_sizes]
    return document | {"norm": "group", "parameters": 10, "cards": cards, "tuning": []}


def header(document):
    return render_summary(document, "table").splitlines()[2]


def pasted(document):
    """The printed command as `fastbs sweep` itself would read it: its experiment and its folder."""
    [line] = [line for line in render_summary(document, "table").splitlines() if " next: " in line]
    program, verb, *words = shlex.split(line.partition("next: ")[2])
    assert (program, verb) == ("fastbs", "sweep")
    options = sweep.make_context("sweep", words).params
    take_executor(options, print)
    out, data = options["out"], options["data"]
    for key in ("preset", "file", "dry_run", "out", "style", "data"):
        del options[key]
    return settings.sweep_config(data, given(options), "pasted"), out


def test_the_next_command_is_the_same_experiment_at_larger_sizes_in_a_folder_of_its_own():
    document = summary(run={"target": 0.75, "momentum": 0.8, "model": "resnet18", "lr": 0.0123456789})
    config, out = pasted(document)
    assert (config.batch_sizes, config.lr_rule, config.lr_at) == ((4, 8, 16, 32, 64), "linear", 1)
    assert (config.seeds, out.as_posix()) == (2, "runs/digits-larger-than-4")
    there = document["config"]["run"] | {"device": None, "eval_images": None, "batch_size": 4}
    assert config.run.to_json() == there


def test_every_setting_of_a_run_survives_in_the_next_command():
    changed = {
        "norm": "batch",
        "pretrained": True,
        "image_size": 48,
        "augment": "crop-flip",
        "updates": 77,
        "optimizer": "adamw",
        "lr": 0.5,
        "momentum": 0.5,
        "beta2": 0.99,
        "weight_decay": 1e-4,
        "label_smoothing": 0.1,
        "warmup_images": 9,
        "precision": "fp32",
        "loader": "torch",
        "step": "compile",
        "threads": 3,
        "loader_threads": 2,
        "eval_images": 500,
        "target": 0.5,
        "hold": 3,
        "seconds": 60.5,
        "micro_batch": 4,
        "noise_scale": True,
        "checkpoint_seconds": 1.5,
        "model": "timm:vit tiny",
    }
    assert set(changed) | APART | ONLY_IN_FILES | {"init", "schedule", "until_target"} == set(
        RunConfig.__dataclass_fields__
    )
    config, _ = pasted(summary(run=changed, images=1000, hours=1.5, controls=False))
    here = config.run.to_json()
    assert {key: here[key] for key in changed} == changed
    assert (config.images, config.hours, config.controls) == (1000, 1.5, False)
    assert pasted(summary(run={"schedule": "cosine"}))[0].run.schedule == "cosine"
    config, _ = pasted(summary(run={"until_target": True, "target": 0.5}, stop_dominated=True))
    assert config.run.until_target and config.stop_dominated
    assert pasted(summary(run={"init": "a b.pt"}))[0].run.init == "a b.pt"


def test_the_rate_of_the_next_command_is_that_of_the_smallest_size():
    config, _ = pasted(summary(lr_rule="linear", lr_at=4, run={"lr": 0.04}))
    assert (config.lr_at, config.run.lr) == (1, 0.01)


def test_the_decay_of_the_next_command_is_that_of_the_smallest_size():
    run = {"optimizer": "adamw", "weight_decay": 0.2, "lr": 0.01}
    config, _ = pasted(summary(lr_rule="constant", lr_at=4, weight_decay_rule="timescale", run=run))
    assert (config.lr_at, config.run.weight_decay, config.weight_decay_rule) == (1, 0.05, "timescale")


def test_a_name_with_slashes_gives_one_folder_below_runs():
    assert pasted(summary(name="../a b/c"))[1].as_posix() == "runs/a-b-c-larger-than-4"


def test_where_nothing_larger_fits_the_rate_is_asked_for_once_and_then_no_more():
    config, out = pasted(summary(sizes=(1, 100)))
    assert (config.batch_sizes, out.as_posix()) == ((1, 100), "runs/digits-linear")
    assert next_sweep(summary(sizes=(1, 100), lr_rule="linear")) is None
    assert "next:" not in render_summary(summary(sizes=(1, 100), lr_rule="linear"), "table")


@pytest.mark.parametrize(
    ("run", "machine", "text"),
    [
        ({}, MACHINE, "cpu (AMD EPYC 9354), 1 thread"),
        ({"device": "cuda", "threads": 8}, MACHINE, "cuda (NVIDIA H200), 8 threads"),
        ({"device": "cuda"}, {"gpu": {"devices": []}}, "cuda (-), 1 thread"),
        ({"device": None, "threads": None}, {}, "- (-), - threads"),
        ({}, {"cpu": {"model": None}}, "cpu (-), 1 thread"),
        ({}, {"cpu": "x"}, "cpu (-), 1 thread"),
    ],
)
def test_the_head_says_what_computed(run, machine, text):
    assert render_summary(summary(run=run, machine=machine), "table").splitlines()[1].endswith(text)


def test_the_head_is_two_lines_that_fit_however_long_the_names():
    document = summary(name="photos " * 40, run={"model": "timm:" + "x" * 200}, machine={"cpu": {"model": "cpu " * 60}})
    head = render_summary(document, "table").splitlines()[:2]
    assert all(len(line) <= 120 for line in head)
    assert head[0].startswith("photos") and head[1].endswith("1 thread")
    short = render_summary(summary(name="photos " * 40), "table").splitlines()[0]
    assert len(short) <= 120 and "1,000 train / 300 validation (no test set) · small, norm group" in short


def test_columns_that_nothing_was_measured_for_are_left_out():
    head = header(summary())
    for name in ("lr", "balanced", "to ", "energy"):
        assert name not in head
    assert "lr" in header(summary(lr_rule="linear")).split()
    assert "balanced" in header(summary(imbalance=1.11)) and "balanced" not in header(summary(imbalance=1.1))
    assert "to 0.75" in header(summary(run={"target": 0.75}))
    assert "energy J" in header(summary(energy=3.0))


@pytest.mark.parametrize("style", ["table", "markdown"])
def test_runs_that_are_pending_or_failed_are_shown_with_their_reasons(style):
    runs = [record("main", 1, 0), record("main", 1, 1), record("main", 2, 0, "failed", "boom\n| on | disk")]
    runs += [record("same-updates", 4, 0, "diverged", "loss is not finite"), record("same-updates", 4, 1)]
    lines = render_summary(summary(runs=runs), style).splitlines()
    assert sum("1 failed, 1 pending" in line for line in lines) == 1
    assert sum("2 pending" in line for line in lines) == 1
    assert any(line.endswith("2: failed: boom | on | disk (seed 0)") for line in lines)
    assert any(line.endswith("control at 4, same updates: diverged: loss is not finite (seed 0)") for line in lines)
    assert any("same updates (lr" in line and "1 ok" in line and "1 diverged" in line for line in lines)


def test_cuts_have_a_number_for_each_row_also_for_those_without_a_run():
    runs = [record("main", size, seed) for size in (1, 4) for seed in range(2)]
    lines = render_summary(summary(runs=runs), "table").splitlines()
    [line] = [line for line in lines if line.startswith(" top1 at the same ")]
    assert line == (" top1 at the same 5,000 images: .805 - .805 · 1,250 updates: - - .805 · 1.25 s: - - .805")


def test_runs_to_a_target_show_neither_cuts_nor_a_ratio_of_unequal_times():
    fixed, ended = (
        render_summary(summary(run={"target": 0.8, "until_target": until}), "table") for until in (False, True)
    )
    assert "top1 at the same" in fixed and " vs 1 " in fixed
    assert "top1 at the same" not in ended and " vs 1 " not in ended


def test_the_fastest_size_is_named_for_each_target_where_it_changes():
    document = summary()
    grid = [{"target": 0.6, "seconds": [3, 2, 1], "fastest": 4}, {"target": 0.65, "seconds": [4, 5, 6], "fastest": 1}]
    text = render_summary(document | {"targets": grid}, "table")
    assert " least median time to 0.6 batch 4 · 0.65 batch 1" in text.splitlines()
    assert "least median time" not in render_summary(document | {"targets": grid[:1]}, "table")


def test_nothing_in_a_name_breaks_the_markdown_table_or_the_head():
    name = "a|b\n|---|\x1b[31m\r\n# c"
    lines = render_summary(summary(name=name), "markdown").splitlines()
    assert lines[0].startswith("a|b |---| [31m # c: 1,000 train") and lines[2] == ""
    table = lines[3:8]
    assert len({line.count("|") for line in table}) == 1 and all(line.startswith("|") for line in table)
    assert lines[8] == "" and all(line.startswith(("- ", "   ", "Claims")) for line in lines[9:])


def test_json_is_the_summary_and_csv_has_every_row():
    document = summary()
    assert json.loads(render_summary(document, "json")) == json.loads(json.dumps(document))
    rows = list(csv.DictReader(io.StringIO(render_summary(document, "csv"))))
    assert [(row["batch_size"], row["arm"]) for row in rows] == [("1", ""), ("2", ""), ("4", ""), ("4", "same-updates")]
    assert float(rows[0]["step_ms"]) == document["rows"][0]["step_ms"]


def test_the_command_of_sweep_knows_no_other_spelling():
    """Guards `pasted`: an option that does not exist is an error there, not ignored."""
    assert CliRunner().invoke(sweep, ["x", "--beta3", "0.9"]).exit_code == 2
