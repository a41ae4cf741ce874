import json
import math
import shlex
from dataclasses import replace

import numpy as np
import pytest

from fastbs import config as settings
from fastbs.analysis.advice.document import advise
from fastbs.analysis.advice.from_sweep import from_sweep
from fastbs.analysis.advice.gather import gather
from fastbs.analysis.advice.limits import Limits
from fastbs.cli.executor_options import take_executor
from fastbs.cli.options import given
from fastbs.cli.sweep import advised_settings, sweep
from fastbs.cli.train import train
from fastbs.config import RunConfig, SweepConfig
from fastbs.errors import BadInput
from fastbs.results.files import dump_json
from fastbs.results.measurement_files import MeasurementFile
from fastbs.results.record import Evaluation, NoiseDraw, Result, RunRecord

TARGET, TRAIN = 0.8, 20_000
SIZES = (8, 32, 128, 512, 2048)
MACHINE = {"cpu": {"model": "AMD EPYC 9354"}}
RESOLVED = {"precision": "fp32", "device": "cpu", "threads": 1, "image_size": 32, "eval_images": 500}


class Truth:
    """E(B) = e_min (1 + B / b_crit) images, t(B) = alpha + beta B seconds."""

    def __init__(self, e_min=40_000.0, b_crit=300.0, alpha=0.010, beta=0.0001):
        self.e_min, self.b_crit, self.alpha, self.beta = e_min, b_crit, alpha, beta

    def images(self, size):
        return self.e_min * (1 + size / self.b_crit)

    def step(self, size):
        return self.alpha + self.beta * size

    def seconds(self, size):
        return self.images(size) / size * self.step(size)

    @property
    def best(self):
        return math.sqrt(self.b_crit * self.alpha / self.beta)

    def is_within_5_percent(self, size):
        return self.seconds(size) <= 1.05 * self.seconds(self.best)


def run_record(size, seed, images, step, *, status="ok", budget=None, joules=None, memory=None, noise=(), lr=0.01):
    """A run that crosses TARGET after `images` on a straight line; one that misses stays below it."""
    missed = budget is not None and images > budget
    total = budget if missed else images * 1.5
    points = np.linspace(0, total, 13)[1:]
    evaluations = tuple(
        Evaluation(
            images=int(at),
            updates=int(at / size),
            train_seconds=float(at / size * step),
            wall_seconds=float(at / size * step) + 5,
            train_loss=1.0,
            train_top1=0.5,
            loss=1.0,
            top1=min(0.99, TARGET * float(at) / images),
            balanced_top1=0.5,
            lr=lr,
        )
        for at in points
    )
    numbers = dict.fromkeys(Result.__dataclass_fields__, 1) | {
        "images": int(total),
        "train_seconds": total / size * step,
        "step_seconds": step,
        "input_wait_seconds": 0.0,
        "peak_memory_bytes": memory or 10**9 + 10**6 * size,
        "energy_joules": joules and joules * total,
        "energy_source": joules and "nvml",
    }
    ended = status in ("ok", "missed")
    return RunRecord(
        id=f"b{size:04d}-s{seed}",
        arm="main",
        batch_size=size,
        seed=seed,
        lr=lr,
        status=status,
        reason=None if ended else f"{status} here",
        result=Result(**numbers) if ended else None,
        evaluations=evaluations if status != "oom" else (),
        noise=tuple(noise),
    )


def sweep_file(runs, *, sizes=SIZES, seeds=5, lr_rule="linear", norm="group", **more):
    run = RunConfig(**{"data": "photos", "target": TARGET, "lr": 0.01, "epochs": 40.0} | RESOLVED | more.pop("run", {}))
    config = SweepConfig(run=run, batch_sizes=sizes, seeds=seeds, lr_rule=lr_rule, **more)
    planned = [
        {"id": f"b{size:04d}-s{seed}", "arm": "main", "config": {"batch_size": size, "seed": seed}}
        for size in sizes
        for seed in range(seeds)
    ]
    requested = replace(
        config, run=config.run.replace(**dict.fromkeys(("precision", "device", "threads", "image_size")))
    )
    dataset = {"name": "photos", "train": TRAIN, "validation": 500, "test": None, "split": "-", "imbalance": 1.0}
    plan = {"schema": 1, "kind": "sweep-plan", "resolved": config.to_json(), "requested": requested.to_json()}
    plan |= {"dataset": dataset, "machine": MACHINE, "norm": norm, "tuning": [], "runs": planned}
    return MeasurementFile("runs/photos", "sweep", json.loads(json.dumps(plan)), tuple(runs))


def simulated(truth=None, *, sizes=SIZES, seeds=5, spread=0.1, steps=0.01, rng=None, **more):
    """A sweep whose images to the target scatter over seeds by `spread`, its step times by 1 % or `steps`."""
    truth, rng = truth or Truth(), rng or np.random.default_rng(0)
    runs = [
        run_record(
            size,
            seed,
            truth.images(size) * math.exp(spread * rng.standard_normal()),
            truth.step(size) * math.exp(steps * rng.standard_normal()),
            joules=more.get("joules"),
        )
        for size in sizes
        for seed in range(seeds)
    ]
    more.pop("joules", None)
    return sweep_file(runs, sizes=sizes, seeds=seeds, **more)


def advice(file, limits=None, target=None):
    document = advise(from_sweep(file, target), limits)
    dump_json(document)  # never NaN or infinite
    return document


@pytest.mark.parametrize("spread", [0.05, 0.1, 0.2])
def test_the_recommended_size_is_within_the_true_five_percent_in_95_percent_of_sweeps(spread):
    rng = np.random.default_rng(1)
    truths = Truth(), Truth(b_crit=60.0), Truth(b_crit=2000.0), Truth(alpha=0.002), Truth(e_min=5000.0, beta=0.001)
    found = [(truth, advice(simulated(truth, spread=spread, rng=rng))) for truth in truths for _ in range(12)]
    assert np.mean([truth.is_within_5_percent(document["recommended"]) for truth, document in found]) >= 0.95
    covered = [
        d["b_crit"]["interval"][0] <= truth.b_crit <= (d["b_crit"]["interval"][1] or math.inf) for truth, d in found
    ]
    assert np.mean(covered) >= 0.9


@pytest.mark.parametrize(
    ("seeds", "spread", "steps"), [(5, 0.15, 0.1), (5, 0.15, 0.2), (3, 0.15, 0.15), (5, 0.05, 0.15)]
)
def test_times_cover_the_truth_and_sure_means_so_where_steps_scatter_too(seeds, spread, steps):
    rng, truth = np.random.default_rng(2), Truth()
    found = [advice(simulated(truth, seeds=seeds, spread=spread, steps=steps, rng=rng)) for _ in range(40)]
    within = [d["seconds_interval"][0] <= truth.seconds(d["recommended"]) <= d["seconds_interval"][1] for d in found]
    assert np.mean(within) >= 0.85, "of 95 %, less what 40 sweeps may miss"
    sure = [d for d in found if (d["optimum"]["sure"] or 0) >= 0.9]
    wrong = [d for d in sure if not truth.is_within_5_percent(d["recommended"])]
    assert len(wrong) <= 0.15 * len(found)


def test_a_race_with_one_survivor_is_advice_enough():
    runs = [
        run_record(size, seed, Truth().images(size), Truth().step(size), status="ok" if size == 128 else "stopped")
        for size in SIZES
        for seed in range(3)
    ]
    found = advice(sweep_file(runs, sizes=SIZES, seeds=3))
    assert not found["refused"] and found["recommended"] == 128, found.get("reason")


def test_without_noise_the_optimum_is_the_closed_form_and_the_smaller_of_those_as_good_is_taken():
    found = advice(simulated(spread=1e-6))
    truth = Truth()
    assert found["optimum"]["closed_form"] == pytest.approx(truth.best, rel=0.02)
    assert found["optimum"]["batch_size"] == pytest.approx(truth.best, rel=0.1)
    low, high = found["range"]
    assert low <= found["recommended"] <= high and found["recommended"] == 128
    assert truth.seconds(low) == pytest.approx(1.05 * truth.seconds(truth.best), rel=0.03)
    assert found["seconds"] == pytest.approx(truth.seconds(128), rel=0.02)
    assert found["b_half"]["value"] == pytest.approx(100, rel=0.05)
    assert found["b_crit"]["value"] == pytest.approx(300, rel=0.01) and found["b_crit"]["source"] == "fit"
    assert found["fastest"] == found["fastest"] | {"batch_size": 128, "proven": True, "ties": []}
    rows = {row["batch_size"]: row for row in found["counterfactuals"]}
    assert list(rows) == list(SIZES) and all(row["measured"] for row in rows.values())
    for size, row in rows.items():
        assert row["vs_best"] == pytest.approx(truth.seconds(size) / truth.seconds(truth.best) - 1, abs=0.05)
        assert row["success"]["reached"] == row["success"]["runs"] == 5


@pytest.mark.parametrize(
    ("optimizer", "rule", "next_rule"),
    [("sgd", "constant", "linear"), ("adamw", "constant", "sqrt"), ("sgd", "given", "linear")],
)
def test_at_one_constant_rate_nothing_is_recommended_and_the_scaled_sweep_is_next(optimizer, rule, next_rule):
    """With a small constant rate every update learns as much, so that larger batches need in proportion more images."""
    small = Truth(b_crit=0.5)
    rates = tuple((size, 0.01) for size in SIZES) if rule == "given" else ()
    found = advice(simulated(small, lr_rule=rule, lrs=rates, run={"optimizer": optimizer}))
    assert found["exit_code"] == 4
    assert [found[key] for key in ("recommended", "range", "lr", "card", "command", "optimum")] == [None] * 6
    assert found["b_crit"]["value"] is None and found["b_crit"]["rule"] == rule
    assert any("confounded" in warning for warning in found["warnings"])
    assert all(row["vs_best"] is None for row in found["counterfactuals"])
    assert found["b_half"]["value"] == pytest.approx(100, rel=0.1)  # the hardware does not depend on the rate
    experiment = pasted_sweep(found["refused"]["next"])
    assert (experiment.lr_rule, experiment.batch_sizes, experiment.run.optimizer) == (next_rule, SIZES, optimizer)
    assert experiment.run.target == TARGET


def test_the_same_runs_with_a_scaled_rate_are_advised_from():
    assert advice(simulated(Truth(b_crit=0.5)))["recommended"] is not None


def pasted_sweep(command):
    program, verb, *words = shlex.split(command)
    assert (program, verb) == ("fastbs", "sweep")
    options = sweep.make_context("sweep", words).params
    take_executor(options, print)
    data = options["data"]
    for key in ("preset", "file", "advice", "dry_run", "out", "style", "data"):
        del options[key]
    return settings.sweep_config(data, given(options), "pasted")


def pasted_run(command):
    program, verb, *words = shlex.split(command)
    assert (program, verb) == ("fastbs", "train")
    options = train.make_context("train", words).params
    return settings.run_config(
        options.pop("data"), given({k: options[k] for k in options.keys() - {"out", "style"}}), "-"
    )


def test_the_command_is_the_recommended_training_and_no_longer_than_it_must_be():
    run = {"model": "timm:vit tiny", "weight_decay": 1e-4, "warmup_images": 500, "momentum": 0.8}
    found = advice(simulated(run=run, lr_at=8))
    own = pasted_run(found["command"])
    assert (own.batch_size, own.target) == (found["recommended"], TARGET)
    assert own.lr == pytest.approx(0.01 * found["recommended"] / 8, rel=1e-3) == found["lr"] == found["card"]["lr"]
    assert {key: getattr(own, key) for key in run} == run
    assert "--precision" not in found["command"] and "--threads" not in found["command"]  # the user chose none


def test_half_lives_of_adamw_come_with_the_command():
    found = advice(simulated(lr_rule="beta2-halflife", run={"optimizer": "adamw", "beta2": 0.9999}))
    assert pasted_run(found["command"]).beta2 == pytest.approx(0.9999 ** (found["recommended"] / 8))


def test_the_decay_of_adamw_by_its_rule_comes_with_the_command_and_with_the_sweep_that_verifies_it():
    run = {"optimizer": "adamw", "weight_decay": 0.05}
    found = advice(simulated(lr_rule="sqrt", weight_decay_rule="timescale", run=run))
    own, size = pasted_run(found["command"]), found["recommended"]
    assert own.weight_decay == pytest.approx(0.05 * math.sqrt(size / 8), rel=1e-3) and found["card"]["rule"] == "sqrt"
    assert found["config"]["weight_decay_rule"] == "timescale" and found["config"]["run"]["weight_decay"] == 0.05


def test_tuned_rates_are_joined_for_a_size_between_them():
    rates = ((8, 0.01), (32, 0.02), (128, 0.04), (512, 0.05), (2048, 0.05))
    found = advice(simulated(Truth(b_crit=50.0), lr_rule="tuned", lrs=rates, spread=1e-6))
    assert found["recommended"] == 64 and not any(
        r["measured"] for r in found["counterfactuals"] if r["batch_size"] == 64
    )
    assert found["lr"] == pytest.approx(math.sqrt(0.02 * 0.04))
    experiment = settings.SweepConfig.from_json(found["config"])
    assert dict(experiment.lrs)[64] == pytest.approx(found["lr"]) and experiment.run.precision is None


def test_a_size_that_nobody_trained_at_comes_with_the_sweep_that_verifies_it(tmp_path):
    found = advise(from_sweep(simulated(Truth(b_crit=50.0), spread=1e-6), None), file="here/a b.json")
    words = shlex.split(found["verify"])
    assert words[:5] == ["fastbs", "sweep", "photos", "--from-advice", "here/a b.json"]
    assert words[words.index("--batch-sizes") + 1] == "16,64,256"
    made = settings.sweep_config("photos", advised_settings(found, tmp_path) | {"batch_sizes": [16, 64, 256]}, "advice")
    assert made.batch_sizes == (16, 64, 256) and made.run.target == TARGET and not made.controls
    assert advice(simulated(spread=1e-6))["verify"] is None


def test_limits_each_hold_or_not_and_the_binding_one_is_named():
    truth = Truth()
    file = simulated(spread=1e-6, joules=0.01)
    loose = advice(file, Limits(deadline=1e4, max_memory=1e11, max_energy=1e6))
    assert loose["recommended"] == 128 and loose["binding"] is None
    assert all(limit["holds"] for limit in loose["limits"].values()) and len(loose["limits"]) == 3
    tight = advice(file, Limits(max_memory=1.06e9))
    assert tight["binding"] == "max_memory" and tight["recommended"] == 32 and tight["range"][1] <= 60
    assert tight["limits"]["max_memory"] == {"limit": 1.06e9, "value": 1.032e9, "holds": True}
    cheap = advice(file, Limits(max_energy=0.01 * truth.images(40)))
    assert cheap["binding"] == "max_energy" and cheap["recommended"] == 32


def test_limits_that_cannot_be_met_say_what_would_have_to_give():
    truth = Truth()
    file = simulated(spread=1e-6, joules=0.01)
    found = advice(file, Limits(deadline=0.5 * truth.seconds(truth.best)))
    assert (found["exit_code"], found["recommended"], found["command"]) == (1, None, None)
    [give] = found["give"]
    assert give["limit"] == "deadline" and give["needed"] == pytest.approx(truth.seconds(truth.best), rel=0.05)
    both = advice(file, Limits(deadline=1.04 * truth.seconds(truth.best), max_memory=1.02e9))
    assert {give["limit"]: give["batch_size"] for give in both["give"]} == {"deadline": 16, "max_memory": 128}
    for give in both["give"]:
        met = advice(file, replace(Limits(1.04 * truth.seconds(truth.best), 1.02e9), **{give["limit"]: give["needed"]}))
        assert met["exit_code"] == 0 and met["recommended"] == give["batch_size"]


def test_a_limit_on_what_nobody_measured_is_refused_by_name():
    with pytest.raises(BadInput, match="max-energy: no record has measured energy"):
        advice(simulated(), Limits(max_energy=5.0))


def test_more_images_take_longer_in_proportion_and_the_assumption_is_said():
    file = simulated()
    one, ten = advice(file), advice(file, Limits(images=10 * TRAIN))
    assert ten["recommended"] == one["recommended"] and ten["seconds"] == pytest.approx(10 * one["seconds"])
    assert any("epochs to the target are taken to stay" in warning for warning in ten["warnings"])
    assert any("B_crit on 200,000 images" in entry["what"] for entry in ten["unknown"])
    assert advice(file, Limits(deadline=5 * one["seconds"], images=10 * TRAIN))["exit_code"] == 1


def test_the_size_with_least_energy_is_named_where_energy_is_known():
    found = advice(simulated(spread=1e-6, joules=0.01))
    assert found["energy"]["batch_size"] == 8  # energy an image is the same: the fewest images
    assert found["energy"]["vs_recommended"] == pytest.approx(1 - Truth().images(8) / Truth().images(128), rel=1e-3)
    assert advice(simulated())["energy"] is None


def with_runs(change, **more):
    """A noiseless sweep whose runs went through `change(size, seed, run)`; None drops one."""
    file = simulated(spread=1e-6, **more)
    runs = [change(run.batch_size, run.seed, run) for run in file.runs]
    return replace(file, runs=tuple(run for run in runs if run))


def missing(size, seed):
    truth = Truth()
    return run_record(
        size, seed, 10 * truth.images(size), truth.step(size), budget=3 * truth.images(size), status="missed"
    )


def test_a_size_with_most_runs_missing_is_shown_and_never_recommended():
    found = advice(with_runs(lambda size, seed, run: missing(size, seed) if size == 128 and seed < 3 else run))
    assert found["recommended"] != 128
    row = next(row for row in found["counterfactuals"] if row["batch_size"] == 128)
    assert row["refused"] == "3 of 5 runs missed the target" and row["success"]["reached"] == 2
    assert row["status_counts"] == {"ok": 2, "missed": 3}


def test_misses_are_charged_with_all_that_they_took():
    truth = Truth()
    found = advice(with_runs(lambda size, seed, run: missing(size, seed) if size == 128 and seed < 2 else run))
    row = next(row for row in found["counterfactuals"] if row["batch_size"] == 128)
    expected = truth.seconds(128) + 2 / 3 * 3 * truth.seconds(128)
    assert row["seconds"] == pytest.approx(expected, rel=0.02) and row["refused"] is None
    assert row["vs_best"] > 1 and found["recommended"] == 512  # nor an untried neighbour of it
    assert any("batch 128 missed the target in some runs" in entry["what"] for entry in found["unknown"])


def test_sizes_that_ran_out_of_memory_or_were_stopped_stay_in_the_table():
    def change(size, seed, run):
        if size == 2048:
            return run_record(size, seed, 1, 1, status="oom")
        return run_record(size, seed, 1e5, 0.01, status="stopped") if size == 8 else run

    found = advice(with_runs(change))
    rows = {row["batch_size"]: row for row in found["counterfactuals"]}
    assert (rows[2048]["refused"], rows[8]["refused"]) == ("out of memory", "stopped: dominated")
    assert rows[2048]["seconds"] is None and rows[2048]["vs_best"] is None
    assert found["optimum"]["looked_at"] == [32, 512] and found["recommended"] == 128


def test_a_size_whose_later_seeds_were_stopped_is_not_recommended_for_its_first_ones():
    def change(size, seed, run):
        return run_record(size, seed, 1e5, 0.01, status="stopped") if size == 128 and seed > 1 else run

    found = advice(with_runs(change))
    row = next(row for row in found["counterfactuals"] if row["batch_size"] == 128)
    assert row["refused"] == "stopped: dominated" and row["success"]["reached"] == 2
    assert found["recommended"] != 128


def test_two_sizes_are_compared_as_measured_and_within_five_percent_the_smaller_is_taken():
    def at(slower):
        truth = Truth()
        seconds = truth.seconds(64)
        runs = [run_record(64, seed, truth.images(64), truth.step(64)) for seed in range(3)]
        runs += [run_record(128, seed, 1.0, 1.0) for seed in range(3)]
        step = seconds * slower * 128 / truth.images(64)
        runs[3:] = [run_record(128, seed, truth.images(64), step) for seed in range(3)]
        return advice(sweep_file(runs, sizes=(64, 128), seeds=3))

    assert (at(0.97)["recommended"], at(0.97)["range"]) == (64, [64, 128])
    assert (at(0.9)["recommended"], at(0.9)["range"]) == (128, [128, 128])
    found = at(0.9)
    assert found["b_crit"]["value"] is None and "law needs" in found["b_crit"]["reason"] and found["optimum"] is None
    assert any("whether a larger size is faster yet" in entry["what"] for entry in found["unknown"])


def test_a_tie_is_called_one_and_seeds_are_counted_only_where_a_difference_is_nearly_proven():
    tie = advice(simulated(spread=0.4, rng=np.random.default_rng(3)))
    assert not tie["fastest"]["proven"] and tie["fastest"]["more_runs"] is None
    assert any(entry["what"].endswith("a tie") and entry["settle"] is None for entry in tie["unknown"])
    found = [advice(simulated(spread=0.2, rng=np.random.default_rng(seed)))["fastest"] for seed in range(20)]
    counted = [one["more_runs"] for one in found if one["more_runs"]]
    assert counted and all(1 <= low <= high <= 50 for low, high in counted)
    assert not any(one["more_runs"] for one in found if one["proven"])


def test_a_size_whose_budget_ended_too_soon_is_priced_by_the_law_and_gets_a_larger_one():
    truth, rng = Truth(b_crit=100.0), np.random.default_rng(4)
    budget = 2.3 * truth.e_min  # about what batch 128 needs
    runs = []
    for size in SIZES:
        for seed in range(5):
            images = truth.images(size) * math.exp(0.1 * rng.standard_normal())
            status = "missed" if images > budget else "ok"
            runs.append(run_record(size, seed, images, truth.step(size), budget=budget, status=status))
    found = advice(sweep_file(runs, run={"until_target": True}))
    assert truth.seconds(found["recommended"]) <= 1.08 * truth.seconds(truth.best)
    low, high = found["b_crit"]["interval"]
    assert low <= truth.b_crit <= (high or math.inf)
    assert any("because the budget ended" in entry["what"] for entry in found["unknown"])
    assert pasted_run(found["command"]).epochs > 40.0


def test_one_seed_has_no_spread_and_says_so():
    found = advice(simulated(seeds=1, spread=0.02))
    assert found["recommended"] is not None
    assert any("one seed" in entry["what"] and " --seeds 3 " in entry["settle"] for entry in found["unknown"])


def test_a_sweep_that_is_not_finished_says_so():
    found = advice(with_runs(lambda size, seed, run: None if seed == 4 else run))
    assert any("5 planned runs have not ended" in entry["what"] for entry in found["unknown"])


def test_no_target_asks_for_one_that_was_reached():
    file = simulated(run={"target": None})
    with pytest.raises(BadInput, match=r"runs/photos: the sweep has no target; .* --target \.99 was held by all"):
        advice(file)
    assert advice(file, target=TARGET)["recommended"] == advice(simulated())["recommended"]


def test_a_target_that_no_run_held_takes_a_longer_sweep():
    found = advice(simulated(), target=0.995)
    assert found["exit_code"] == 4 and "the best evaluation is .99" in found["refused"]["reason"]
    longer = pasted_sweep(found["refused"]["next"])
    assert (longer.run.epochs, longer.run.target) == (80.0, 0.995)


def test_runs_that_ended_at_their_target_say_nothing_of_a_higher_one():
    file = simulated(run={"until_target": True})
    found = advice(file, target=0.85)
    assert found["exit_code"] == 4 and "none was given the time" in found["refused"]["reason"]
    assert advice(file, target=0.7)["exit_code"] == 0


def test_a_run_that_missed_its_target_may_have_held_a_lower_one():
    file = with_runs(lambda size, seed, run: missing(size, seed), run={"until_target": True})
    assert advice(file)["exit_code"] == 4
    assert advice(file, target=0.2)["exit_code"] == 0


@pytest.mark.parametrize("key", ["resolved", "dataset", "runs", "machine"])
def test_a_damaged_sweep_is_named_with_its_key(key):
    file = simulated()
    broken = replace(file, document={name: value for name, value in file.document.items() if name != key})
    with pytest.raises(BadInput, match=f"runs/photos: .*{key}"):
        gather([broken])


def test_advice_is_a_pure_function_of_its_records():
    texts = {dump_json(advice(simulated(rng=np.random.default_rng(5)))) for _ in range(2)}
    assert len(texts) == 1


def test_the_order_of_runs_does_not_matter():
    file = simulated()
    assert advice(file) == advice(replace(file, runs=file.runs[::-1]))


def test_misfitting_data_are_compared_as_measured():
    truth = Truth()
    bumps = dict(zip(SIZES, (3.0, 1.0, 3.0, 1.0, 3.0), strict=True))
    runs = [run_record(s, k, bumps[s] * truth.images(s), truth.step(s)) for s in SIZES for k in range(5)]
    found = advice(sweep_file(runs))
    assert "do not follow the law" in found["b_crit"]["reason"] and found["optimum"] is None
    measured = {row["batch_size"]: row["seconds"] for row in found["counterfactuals"]}
    assert found["recommended"] == min(measured, key=measured.get)


def draws(phi, micro=8, parts=16, n=30, features=400, seed=0, images=50_000):
    """Draws of gradients with tr(Sigma) / |G|^2 = phi."""
    rng = np.random.default_rng(seed)
    mean = np.full(features, 1 / math.sqrt(features))
    found = []
    for at in range(n):
        gradients = mean + math.sqrt(phi / features / micro) * rng.standard_normal((parts, features))
        norms = tuple(float(g @ g) for g in gradients)
        of_mean = float((m := gradients.mean(axis=0)) @ m)
        at_images = int(images * (at + 1) / n)
        found.append(
            NoiseDraw(
                images=at_images,
                updates=at,
                micro_batch=micro,
                squared_norms=norms,
                squared_norm_of_mean=of_mean,
                seconds=0.1,
            )
        )
    return found


def pilot(truth=None, *, hit=True, noise=None, lr_rule="linear", size=64):
    truth = truth or Truth()
    budget = None if hit else truth.images(size) / 2
    run = run_record(
        size,
        0,
        truth.images(size),
        truth.step(size),
        budget=budget,
        noise=draws(truth.b_crit) if noise is None else noise,
    )
    return sweep_file([run], sizes=(size,), seeds=1, lr_rule=lr_rule)


def bench(
    truth=None,
    *,
    sizes=(1, 4, 16, 64, 256, 1024),
    model="small",
    oom=(),
    joules=None,
    name="throughput.json",
    cpu="AMD EPYC 9354",
    **more,
):
    truth = truth or Truth()
    identity = {
        "model": model,
        "precision": "fp32",
        "loader": "dali",
        "input": "real",
        "step": "eager",
        "allocator": "fastbs",
    }
    rows = [
        {
            "question": "throughput",
            **identity,
            "batch_size": size,
            "status": "oom" if size in oom else "ok",
            "reason": "killed" if size in oom else None,
            "block_seconds": [] if size in oom else [[truth.step(size) * f] * 3 for f in (0.99, 1.0, 1.01)],
            "memory": {"resident_bytes": 10**8 + 10**6 * size},
            "energy_joules_per_image": joules,
        }
        | more
        for size in sizes
    ]
    document = {
        "schema": 1,
        "kind": "bench",
        "rows": rows,
        "settings": {"device": "cpu", "models": {model: {"image_size": 32}}},
    }
    document["machine"] = {"cpu": {"model": cpu}}
    return MeasurementFile(name, "bench", {"benchmarks": [], "fastbs": document})


def test_a_pilot_and_a_bench_give_the_range_and_absolute_times_by_the_pilots_own():
    truth = Truth()
    found = advise(gather([pilot(), bench()]))
    assert found["exit_code"] == 0 and truth.is_within_5_percent(found["recommended"])
    assert found["optimum"]["sure"] is found["range_level"] is None  # no draw holds whether it stands for B_crit
    assert found["b_crit"]["source"] == "noise scale" and found["b_crit"]["value"] == pytest.approx(300, rel=0.2)
    assert found["seconds"] == pytest.approx(truth.seconds(found["recommended"]), rel=0.05)
    assert found["seconds_interval"] is None  # one run: no spread over seeds
    rows = {row["batch_size"]: row for row in found["counterfactuals"]}
    assert [size for size, row in rows.items() if row["measured"]] == [64]
    for size in (16, 256, 1024):
        assert rows[size]["curve_seconds"] == pytest.approx(truth.seconds(size), rel=0.15)
    assert any("noise scale stands for B_crit" in entry["what"] for entry in found["unknown"]) and found["verify"]
    assert found["optimum"]["looked_at"] == [1, 1024]


def test_memory_of_a_pilot_is_what_the_bench_says_and_what_training_held_more():
    found = advise(gather([pilot(), bench()]), Limits(max_memory=1.16e9))
    memory = {row["batch_size"]: row["memory_bytes"] for row in found["counterfactuals"]}
    assert memory[64] == 1_064_000_000 and memory[256] == memory[64] + 192 * 10**6
    assert found["recommended"] == 128 and found["limits"]["max_memory"]["value"] == 1.128e9


def test_without_a_hit_only_relative_times_are_promised():
    truth = Truth()
    found = advise(gather([pilot(hit=False), bench()]))
    assert found["exit_code"] == 0 and truth.is_within_5_percent(found["recommended"])
    assert found["seconds"] is None and found["seconds_interval"] is None and found["optimum"]["seconds"] is None
    rows = {row["batch_size"]: row for row in found["counterfactuals"]}
    assert all(row["seconds"] is None and row["curve_seconds"] is None for row in rows.values())
    ratio = (1 + rows[16]["vs_best"]) / (1 + rows[64]["vs_best"])
    assert ratio == pytest.approx(truth.seconds(16) / truth.seconds(64), rel=0.05)
    refused = advise(gather([pilot(hit=False), bench()]), Limits(deadline=60.0))
    assert refused["exit_code"] == 4 and "no deadline" in refused["refused"]["reason"]


def test_a_pilot_with_a_constant_rate_is_scaled_by_the_usual_rule_from_its_size():
    found = advise(gather([pilot(lr_rule="constant"), bench()]))
    assert found["lr"] == pytest.approx(0.01 * found["recommended"] / 64) and found["card"]["rule"] == "linear"
    assert any("linear rule from batch 64" in warning for warning in found["warnings"])


def test_a_noise_scale_with_no_upper_end_counts_as_its_lower_bound():
    found = advise(gather([pilot(noise=draws(5000.0, parts=4, n=40, features=40)), bench()]))
    assert found["b_crit"]["lower_bound_only"] and found["b_crit"]["interval"][1] is None
    assert found["b_crit"]["value"] == found["b_crit"]["interval"][0] > 0
    assert "that bound is used" in found["reason"]


@pytest.mark.parametrize(("low", "high"), [(0.0, 900.0), (100.0, 900.0), (100.0, math.inf), (0.0, math.inf)])
@pytest.mark.parametrize("images", [-5.0, 300.0, math.inf])
def test_whatever_the_noise_scale_is_there_is_advice_from_it_or_none(low, high, images):
    material = gather([pilot(), bench()])
    noise = replace(material.noise, images=images, low=low, high=max(high, images))
    document = advise(replace(material, noise=noise))
    dump_json(document)
    known = low > 0 if math.isinf(noise.high) else images > 0
    assert document["exit_code"] == (0 if known else 4)
    if known:
        believed = low if math.isinf(noise.high) else 300.0
        assert document["b_crit"]["value"] == believed
        assert document["optimum"]["closed_form"] == pytest.approx(math.sqrt(believed * 100), rel=0.01)


def test_the_noise_scale_is_that_of_the_later_half_of_training():
    early = [draw for draw in draws(10.0) if draw.images < 30_000]
    late = [draw for draw in draws(300.0) if draw.images > 40_000]
    found = advise(gather([pilot(noise=[*early, *late]), bench()]))
    assert found["b_crit"]["value"] == pytest.approx(300, rel=0.25)


def test_noise_that_says_nothing_asks_for_a_sweep():
    found = advise(gather([pilot(noise=draws(300.0, n=1)), bench()]))
    assert found["exit_code"] == 4 and len(pasted_sweep(found["refused"]["next"]).batch_sizes) >= 3
    none = advise(gather([pilot(noise=[]), bench()]))
    assert none["exit_code"] == 4 and "no noise scale was measured" in none["refused"]["reason"]
    assert advise(gather([pilot()]))["refused"]["next"].startswith("fastbs bench throughput")


def test_another_machine_has_its_own_step_times_and_the_same_critical_batch_size():
    there = Truth(alpha=0.040, beta=0.00005)
    here = simulated(spread=1e-6)
    found = advise(gather([here], elsewhere=bench(there, sizes=(8, 32, 128, 512, 2048), cpu="another")))
    assert there.is_within_5_percent(found["recommended"]) and found["recommended"] > advice(here)["recommended"]
    assert found["b_crit"]["value"] == pytest.approx(300, rel=0.01) and found["b_half"]["value"] == pytest.approx(
        800, rel=0.05
    )
    assert found["seconds"] == pytest.approx(there.seconds(found["recommended"]), rel=0.02)
    assert found["steps_from"] == "another machine" and found["machine"]["cpu"]["model"] == "another"
    assert not any(row["measured"] for row in found["counterfactuals"]) and found["fastest"] is None
    memory = {row["batch_size"]: row["memory_bytes"] for row in found["counterfactuals"]}
    assert memory[128] == 10**8 + 128 * 10**6


def test_what_does_not_fit_on_the_other_machine_is_not_recommended_for_it():
    there = Truth(alpha=0.040, beta=0.00005)
    found = advise(gather([simulated()], elsewhere=bench(there, sizes=(8, 32, 128, 512, 2048), oom=(512, 2048))))
    assert found["recommended"] == 128
    assert [row["refused"] for row in found["counterfactuals"] if row["batch_size"] >= 512] == ["out of memory"] * 2


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ([bench()], "throughput.json: no runs to a target"),
        (
            [simulated(), bench(model="resnet18")],
            "throughput.json: no step times of small, fp32, eager .it has resnet18",
        ),
        (
            [simulated(), bench(cpu="Xeon")],
            "throughput.json: measured on Xeon, the runs on AMD EPYC 9354; give it with --on",
        ),
        ([simulated(), simulated()], "runs/photos: a second sweep"),
        ([simulated(), bench(batch_size="x")], "throughput.json: fastbs.rows.0..batch_size"),
        ([simulated(), bench(block_seconds=[[math.nan]])], "block_seconds.0..0.: nan is not a number above 0"),
        ([simulated(), bench(status="failed", block_seconds=[])], "throughput.json: no batch size of small is ok"),
    ],
)
def test_records_that_do_not_go_together_are_refused_by_name(files, why):
    with pytest.raises(BadInput, match=why):
        gather(files)
