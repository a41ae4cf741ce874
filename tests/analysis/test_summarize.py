import dataclasses
import json
import math
import typing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbs.analysis.arms import planned_lr, planned_updates
from fastbs.analysis.choice import options
from fastbs.analysis.claim_time import judge_saving
from fastbs.analysis.evidence import Evidence
from fastbs.analysis.finding import Verdict
from fastbs.analysis.hit import find_hit
from fastbs.analysis.interval import Interval
from fastbs.analysis.summary import summarize
from fastbs.config import RunConfig, SweepConfig
from fastbs.results.record import STATUSES, Evaluation, Result, RunRecord

SIZES = (1, 2, 4, 8, 32)
DATASET = {"name": "digits", "train": 1348, "validation": 449, "test": None, "split": "25 %", "imbalance": 1.02}
TOP1 = {("main", 1): 0.95, ("main", 2): 0.92, ("main", 4): 0.87, ("main", 8): 0.79, ("main", 32): 0.52}
TOP1 |= {("same-updates", 8): 0.949, ("scaled-lr", 8): 0.948}
ROW = "batch_size status status_counts n lr updates images_per_second step_ms update_share train_seconds wall_seconds"
ROW += " time_ratio train_top1_mean top1_mean top1_sd time_to_target_s targets_reached peak_memory_bytes energy_joules"
CLAIM_TIME, CLAIM_ACCURACY, CLAIM_EXTRAPOLATION, CLAIM_CHOICE = range(4)


def sweep_of(sizes=SIZES, seeds=3, controls=True, **more):
    run = RunConfig(data="digits", lr=1e-3, epochs=5, target=more.pop("target", 0.75), hold=1)
    return SweepConfig(run=run, batch_sizes=sizes, seeds=seeds, control_at=8 if 8 in sizes else None, **more), controls


def planned(config, controls=True):
    plan = [("main", size, seed) for size in config.batch_sizes for seed in range(config.seeds)]
    if controls and 8 in config.batch_sizes[1:]:
        plan += [(arm, 8, seed) for arm in ("same-updates", "scaled-lr") for seed in range(config.seeds)]
    return plan


def record(config, arm, size, seed, *, top1=TOP1, status="ok", alpha=1.22e-3, beta=0.385e-3, noise=0.003, energy=None):
    """A run as the step-time line and `top1` say, with a seed's own offsets; the last of five evaluations is top1."""
    rng = np.random.default_rng([seed, size, len(arm)])
    updates = planned_updates(config, arm, size, DATASET["train"])
    step = (alpha + beta * size) * math.exp(noise * rng.standard_normal())
    seconds, last = updates * step, min(1.0, max(0.0, top1[arm, size] + noise * rng.standard_normal()))
    evaluations = tuple(
        Evaluation(
            images=updates * size * i // 5,
            updates=updates * i // 5,
            train_seconds=seconds * i / 5,
            wall_seconds=3 + seconds * i / 5,
            train_loss=2.3 * math.exp(-i * last),
            train_top1=last * i / 5,
            loss=1.0,
            top1=last * i / 5,
            balanced_top1=last * i / 5,
            lr=1e-3,
        )
        for i in range(1, 6)
    )
    result = Result(
        updates=updates,
        skipped_updates=0,
        images=updates * size,
        train_seconds=seconds,
        wall_seconds=seconds + 3,
        startup_seconds=2.0,
        eval_seconds=0.5,
        checkpoint_seconds=0.1,
        input_wait_seconds=0.02 * seconds,
        step_seconds=step,
        update_seconds=4e-4,
        parameters=24_000,
        peak_memory_bytes=10**8 + seed,
        minor_faults_per_image=0.0,
        energy_joules=energy,
        energy_source=None,
    )
    trained = status in ("ok", "missed", "diverged")
    return RunRecord(
        id=f"b{size:04d}-s{seed}-{arm}",
        arm=arm,
        batch_size=size,
        seed=seed,
        lr=planned_lr(config, arm, size),
        status=status,
        reason=None if status == "ok" else f"it {status}",
        result=result if trained else None,
        evaluations=evaluations if status == "ok" else evaluations[:2] if trained else (),
    )


def summary_of(config, runs, plan):
    document = summarize(
        config=json.loads(json.dumps(config.to_json())), dataset=DATASET, machine={"cpu": "x"}, runs=runs, planned=plan
    )
    json.dumps(document, allow_nan=False)
    return document


def summary(sizes=SIZES, seeds=3, controls=True, sweep=None, skip=(), **run):
    config, controls = sweep_of(sizes, seeds, controls, **(sweep or {}))
    plan = planned(config, controls)
    return summary_of(config, [record(config, *which, **run) for which in plan if which not in skip], plan)


def claim(document, number):
    finding = document["findings"][number]
    return finding["verdict"], finding["text"], finding["numbers"]


def test_the_document_has_the_promised_keys_in_the_promised_order():
    document = summary()
    assert list(document)[:8] == ["schema", "kind", "dataset", "machine", "rows", "controls", "fit", "findings"]
    assert (document["schema"], document["kind"]) == (1, "sweep")
    for row in document["rows"]:
        assert list(row)[: len(ROW.split())] == ROW.split()
    assert all(set(row) == {"arm", *document["rows"][0]} for row in document["controls"])
    assert list(document["fit"])[:4] == ["alpha_ms", "beta_ms", "b_half", "max_residual"]
    assert all(list(finding) == ["claim", "verdict", "text", "numbers"] for finding in document["findings"])
    assert [row["batch_size"] for row in document["rows"]] == list(SIZES)
    assert [row["arm"] for row in document["controls"]] == ["same-updates", "scaled-lr"]


def test_a_row_holds_means_over_its_seeds():
    config, _ = sweep_of()
    runs = [record(config, *which, energy=5.0) for which in planned(config)]
    row = summary_of(config, runs, planned(config))["rows"][1]
    own, first = ([run for run in runs if run.arm == "main" and run.batch_size == size] for size in (2, 1))
    step = np.exp(np.mean([np.log(run.result.step_seconds) for run in own]))
    assert row["images_per_second"] == pytest.approx(2 / step)
    assert row["step_ms"] == pytest.approx(1e3 * step)
    low, high = row["step_ms_interval"]
    assert row["step_ms"] ** 2 == pytest.approx(low * high)
    assert row["top1_mean"] == pytest.approx(np.mean([run.last.top1 for run in own]))
    assert row["top1_sd"] == pytest.approx(np.std([run.last.top1 for run in own], ddof=1))
    ratios = [a.result.train_seconds / b.result.train_seconds for a, b in zip(own, first, strict=True)]
    assert row["time_ratio"] == pytest.approx(np.exp(np.mean(np.log(ratios))))
    hits = [find_hit(run.evaluations, 0.75, 1) for run in own]
    assert row["time_to_target_s"] == pytest.approx(np.median([hit.train_seconds for hit in hits]))
    assert row["time_to_target_wall_s"] == pytest.approx(np.median([hit.wall_seconds for hit in hits]))
    assert row["images_to_target"] == pytest.approx(np.median([hit.images for hit in hits]))
    assert row["expected_time_to_target_s"] == pytest.approx(np.mean([hit.train_seconds for hit in hits]))
    assert row["time_to_target_half_step_s"] == pytest.approx(np.median([hit.half_train_seconds for hit in hits]))
    assert (row["runs_to_target"], row["time_to_target_coverage"]) == (3, 0.75)
    assert row["time_to_target_range"] == pytest.approx([f(hit.train_seconds for hit in hits) for f in (min, max)])
    assert (row["updates"], row["images"], row["lr"]) == (3370, 6740, 1e-3)
    assert (row["targets_reached"], row["n"], row["status"]) == (3, 3, "ok")
    assert (row["peak_memory_bytes"], row["energy_joules"]) == (10**8 + 2, 5.0)
    assert row["input_wait_share"] == pytest.approx(0.02)


def test_runs_that_are_not_ok_are_counted_and_enter_no_mean():
    config, _ = sweep_of()
    plan = planned(config)
    runs = [record(config, *which) for which in plan if which != ("main", 4, 2)]
    runs = [
        dataclasses.replace(run, status="diverged", reason="not finite")  # after it had reached the target
        if (run.arm, run.batch_size, run.seed) == ("main", 4, 0)
        else run
        for run in runs
    ]
    document = summary_of(config, runs, plan)
    row = document["rows"][2]
    assert row["status_counts"] == {"ok": 1, "diverged": 1, "pending": 1}
    assert (row["status"], row["n"], row["reason"]) == ("diverged", 1, "diverged: not finite (seed 0)")
    assert row["top1_mean"] == record(config, "main", 4, 1).last.top1
    assert row["top1_sd"] is row["top1_interval"] is None
    assert row["time_to_target_s"] is None and (row["targets_reached"], row["runs_to_target"]) == (1, 2)
    assert row["success_interval"] == pytest.approx([0.0945, 0.9055], abs=1e-3)
    ended = [run for run in runs if (run.arm, run.batch_size) == ("main", 4)]
    spent = sum(run.evaluations[-1].train_seconds for run in ended if run.status == "diverged")
    hit = next(find_hit(run.evaluations, 0.75, 1) for run in ended if run.status == "ok")
    assert row["expected_time_to_target_s"] == pytest.approx(spent + hit.train_seconds)
    assert "2 of 21 runs count in no mean: 1 diverged at 4, 1 pending." in document["caveats"]


def test_the_simulated_post_gets_its_verdicts():
    document = summary()
    verdict, text, numbers = claim(document, CLAIM_TIME)
    assert verdict == "true" and text.startswith("38.0 % [")
    assert "The weight update is 25 % of the step." in text
    assert numbers["most_any_size_can_save"] == pytest.approx(1.22 / 1.605, abs=0.01)
    verdict, text, numbers = claim(document, CLAIM_ACCURACY)
    assert verdict == "true for another reason" and numbers["explained_by"] == ["rate"]
    assert "WHY: the rate was not scaled with the batch" in text and "No control was run beyond batch 8" in text
    assert "with as many updates as batch 1, on 8 times the images, it is" in text
    assert "a loss beyond 1 point is excluded" in text and numbers["excluded_loss"] == 0.01
    verdict, text, numbers = claim(document, CLAIM_EXTRAPOLATION)
    assert verdict == "true" and text.startswith("7 h 2")
    assert document["findings"][CLAIM_EXTRAPOLATION]["claim"] == "500,000 images: 12 h -> 7 h 12"
    verdict, text, numbers = claim(document, CLAIM_CHOICE)
    assert verdict == "true for another reason" and "Neither: batch 8 with lr 0.008 gives" in text
    assert document["fit"]["b_half"] == pytest.approx(1.22 / 0.385, rel=0.02)
    assert any(
        "449 validation images could move top1 by 2" in caveat and "no test set" in caveat
        for caveat in document["caveats"]
    )


@pytest.mark.parametrize(
    ("alpha", "sizes", "seeds", "verdict"),
    [
        (1.5e-3, SIZES, 3, "true"),  # saves .5 * 1.5 / 1.885 = 40 %
        (0.3e-3, SIZES, 3, "not seen here"),  # 22 %
        (1.5e-3, SIZES, 1, "cannot tell"),
        (1.5e-3, (2, 4, 8), 3, "cannot tell"),
        (1.5e-3, (1,), 3, "cannot tell"),
    ],
)
def test_almost_40_percent_is_true_only_where_it_was_measured(alpha, sizes, seeds, verdict):
    assert claim(summary(sizes, seeds, alpha=alpha), CLAIM_TIME)[0] == verdict


@pytest.mark.parametrize(
    ("estimate", "half", "verdict"),
    [
        (0.40, 0.02, "true"),
        (0.40, 0.14, "true"),
        (0.40, 0.16, "cannot tell"),
        (0.34, 0.02, "cannot tell"),  # only its interval gets there
        (0.46, 0.02, "cannot tell"),
        (0.30, 0.02, "not seen here"),
    ],
)
def test_a_saving_is_almost_40_percent_when_its_estimate_is(estimate, half, verdict):
    assert judge_saving(Interval(estimate - half, estimate, estimate + half, 3)) == verdict


@pytest.mark.parametrize("alpha", [0.3e-3, 1.0e-3, 1.22e-3, 1.54e-3])
@pytest.mark.parametrize("noise", [0.003, 0.1])
def test_one_ratio_gets_one_verdict_as_saving_and_as_hours(alpha, noise):
    document = summary(alpha=alpha, noise=noise)
    assert claim(document, CLAIM_EXTRAPOLATION)[0] == claim(document, CLAIM_TIME)[0]


def test_a_steeper_loss_than_the_controls_take_away_stays_true_without_another_reason():
    spoilt = TOP1 | {("same-updates", 8): 0.86, ("scaled-lr", 8): 0.86}
    verdict, text, numbers = claim(summary(top1=spoilt), CLAIM_ACCURACY)
    assert verdict == "true, cause open" and numbers["explained_by"] == []
    assert "The scaled rate gives back +" in text and "NOT SUPPORTED" not in text
    assert claim(summary(top1=spoilt), CLAIM_CHOICE)[0] == "true"


def test_a_slope_that_luck_could_give_is_no_fall():
    tilted = {(arm, size): 0.6 - 0.015 * math.log2(size) for arm, size in TOP1}
    verdict, text, numbers = claim(summary(top1=tilted, noise=0.06), CLAIM_ACCURACY)
    low, high = numbers["slope_per_doubling_interval"]
    assert low < -0.01 and numbers["slope_per_doubling"] < 0 < high
    assert verdict == "cannot tell"


def test_equal_accuracies_show_no_fall_and_leave_nothing_to_choose():
    flat = dict.fromkeys(TOP1, 0.9)
    document = summary(top1=flat, noise=0.0)
    assert claim(document, CLAIM_ACCURACY)[0] == "not seen here"
    verdict, text, _ = claim(document, CLAIM_CHOICE)
    assert verdict == "not seen here" and "Neither: batch 32 gives .90" in text


def test_without_controls_the_reason_is_not_known():
    verdict, text, _ = claim(summary(controls=False), CLAIM_ACCURACY)
    assert verdict == "true, cause open" and "WHY is not known: no control has run" in text


def test_the_target_names_the_fastest_setting_that_reaches_it():
    verdict, text, numbers = claim(summary(controls=False), CLAIM_CHOICE)
    assert numbers["first_to_target"]["batch_size"] == 8
    assert text.startswith("Batch 8 has the least median time to .75 (") and ", 39.9 % [" in text
    assert verdict == "true"
    assert "No setting reaches .99" in claim(summary(sweep={"target": 0.99}), CLAIM_CHOICE)[1]


def test_without_a_target_its_columns_are_empty():
    document = summary(sweep={"target": None})
    assert all(row["time_to_target_s"] is row["targets_reached"] is None for row in document["rows"])
    assert claim(document, CLAIM_CHOICE)[2]["target"] is None


def test_settings_are_compared_no_finer_than_the_validation_images_resolve():
    config, _ = sweep_of(controls=False)
    plan = planned(config, controls=False)
    runs = [record(config, *which, top1=dict.fromkeys(TOP1, 0.95), noise=0.0) for which in plan]
    coarse, fine = (
        options(Evidence(config, {**DATASET, "validation": images}, tuple(runs), tuple(plan)))[0]
        for images in (449, 100_000)
    )
    assert coarse.margin == fine.margin == 0.01
    assert coarse.difference.low < fine.difference.low < 0 == coarse.difference.estimate


def test_a_setting_with_diverged_runs_is_never_chosen():
    config, _ = sweep_of(controls=False)
    plan = planned(config, controls=False)
    flat = dict.fromkeys(TOP1, 0.9)
    status = {("main", 32, 0): "diverged"}
    runs = [record(config, *which, top1=flat, status=status.get(which, "ok")) for which in plan]
    assert claim(summary_of(config, runs, plan), CLAIM_CHOICE)[2]["fastest_as_good"]["batch_size"] == 8


@pytest.mark.parametrize(
    ("arm", "size", "said"),
    [
        ("scaled-lr", 8, "with lr x8, 1 of 3 diverged"),
        ("main", 8, "WHY is not known: 1 of 3 diverged at batch 8."),
        ("main", 1, "WHY is not known: 1 of 3 diverged at batch 1."),
    ],
)
def test_the_survivors_of_a_setting_explain_nothing(arm, size, said):
    config, _ = sweep_of()
    plan = planned(config)
    status = {(arm, size, 0): "diverged"}
    runs = [record(config, *which, status=status.get(which, "ok")) for which in plan]
    _, text, numbers = claim(summary_of(config, runs, plan), CLAIM_ACCURACY)
    assert said in text and numbers["explained_by"] == []


def test_a_control_that_leaves_all_open_says_so():
    config, _ = sweep_of()
    plan = planned(config)
    top1 = {
        seed: TOP1 | {("same-updates", 8): value, ("scaled-lr", 8): value}
        for seed, value in enumerate((0.82, 0.90, 0.98))
    }
    runs = [record(config, *which, top1=top1[which[2]]) for which in plan]
    verdict, text, _ = claim(summary_of(config, runs, plan), CLAIM_ACCURACY)
    assert verdict == "true, cause open" and "WHY is open (" in text


def test_too_few_evaluations_are_a_caveat_and_not_silence():
    config, _ = sweep_of((1, 2), controls=False)
    plan = planned(config, controls=False)
    runs = [record(config, *which) for which in plan]
    runs = [dataclasses.replace(run, evaluations=run.evaluations[-3:]) if run.batch_size == 2 else run for run in runs]
    said = "Batch 2: too few evaluations to tell whether training loss still falls."
    assert said in summary_of(config, runs, plan)["caveats"]
    without = [run for run in runs if run.batch_size == 1]  # no run at 2: nothing to say of its evaluations
    for document in (summary(), summary_of(config, without, plan)):
        assert not any("too few" in caveat for caveat in document["caveats"])


def test_sizes_whose_loss_still_falls_are_called_under_trained():
    document = summary(top1=TOP1 | {("main", 32): 0.1})
    assert document["rows"][-1]["under_trained"] is True
    assert "Under-trained" in claim(document, CLAIM_ACCURACY)[1]
    assert any("32" in caveat for caveat in document["caveats"] if caveat.startswith("Longer training"))


@pytest.mark.parametrize("skip", [set(), {("main", 1, 0)}, {("main", 1, seed) for seed in range(3)}])
def test_two_sizes_give_no_fit_but_a_sentence(skip):
    document = summary((1, 2), controls=False, skip=skip)
    assert document["fit"]["alpha_ms"] is None and document["fit"]["reason"]
    assert all(finding["text"] for finding in document["findings"])


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_mixture_of_statuses_and_gaps_breaks_the_summary(data):
    sizes = tuple(sorted(data.draw(st.sets(st.sampled_from((*SIZES, 128)), min_size=1))))
    target = data.draw(st.sampled_from([None, 0.75]))
    config, _ = sweep_of(sizes, data.draw(st.integers(1, 3)), True, target=target)
    plan = planned(config)
    level = st.sampled_from([0.0, 0.3, 0.9, 1.0])
    top1 = {which[:2]: data.draw(level) for which in plan}
    noise = data.draw(st.sampled_from([0.0, 0.003, 0.5]))
    beta = data.draw(st.sampled_from([0.0, 1e-3]))
    ends = {which: data.draw(st.sampled_from(["ok", "ok", "ok", *STATUSES, None])) for which in plan}
    runs = [
        record(config, *which, top1=top1, status=status, noise=noise, beta=beta)
        for which, status in ends.items()
        if status is not None
    ]
    document = summary_of(config, runs, plan)
    assert len(document["rows"]) == len(sizes) and len(document["findings"]) == 4
    for row in document["rows"] + document["controls"]:
        counts = row["status_counts"]
        assert sum(counts.values()) == config.seeds and row["n"] == counts.get("ok", 0)
        assert (row["status"] == "ok") == (counts.get("ok") == config.seeds)
    for finding in document["findings"]:
        assert finding["verdict"] in typing.get_args(Verdict)
        assert finding["text"][-1] in ".)" and "nan" not in finding["text"] and "inf" not in finding["text"]
        if config.seeds == 1:
            assert finding["verdict"] == "cannot tell"


def ended_at_target(config, size, seed):
    """A run of `config` that ended with the second evaluation in a row at its target."""
    run = record(config, "main", size, seed, top1={("main", size): 1.25})
    return dataclasses.replace(run, result=dataclasses.replace(run.result, updates=100 + seed))


def test_runs_that_end_at_their_target_are_compared_by_the_time_to_it_and_not_by_accuracy():
    config, _ = sweep_of(sizes=(1, 8, 32))
    config = dataclasses.replace(config, run=config.run.replace(until_target=True, hold=2))
    plan = planned(config, controls=False)
    document = summary_of(config, [ended_at_target(config, size, seed) for _, size, seed in plan], plan)
    assert [row["updates"] for row in document["rows"]] == [101] * 3
    assert all(row["targets_reached"] == 3 for row in document["rows"])
    verdict, text, _ = claim(document, CLAIM_ACCURACY)
    assert verdict == "cannot tell" and text.startswith("every run ended where it held the target")
    verdict, text, numbers = claim(document, CLAIM_CHOICE)
    assert verdict == "not seen here" and text.startswith("Batch 32 has the least median time to .75 (")
    assert numbers["fastest_as_good"] is None and numbers["first_to_target"]["batch_size"] == 32
    assert [row["time_ratio"] for row in document["rows"]] == [None] * 3


@pytest.mark.parametrize(("left_out", "compared"), [(0, True), (1, False)])
def test_runs_cut_off_by_a_limit_of_seconds_are_not_said_to_compare_at_equal_epochs(left_out, compared):
    """Of batch 1 some updates are missing; a limit that no run comes to changes nothing."""
    config, _ = sweep_of(sizes=(1, 8), target=None)
    config = dataclasses.replace(config, run=config.run.replace(seconds=10.0))
    plan = planned(config, controls=False)
    runs = [record(config, *which) for which in plan]
    runs[0] = dataclasses.replace(
        runs[0], result=dataclasses.replace(runs[0].result, updates=runs[0].result.updates - left_out)
    )
    document = summary_of(config, runs, plan)
    for number in (CLAIM_ACCURACY, CLAIM_CHOICE):
        verdict, text, _ = claim(document, number)
        assert ("limit of seconds" in text) == (not compared) and (compared or verdict == "cannot tell")
    assert (document["rows"][1]["time_ratio"] is not None) == compared


def test_a_miss_is_charged_with_all_it_trained_also_when_it_diverged_before_it_was_looked_at():
    config, _ = sweep_of(sizes=(8,), seeds=2)
    runs = [record(config, "main", 8, 0), record(config, "main", 8, 1, status="diverged")]
    lost = dataclasses.replace(runs[1], evaluations=(), result=dataclasses.replace(runs[1].result, train_seconds=40.0))
    row, unknown = (
        summary_of(config, [runs[0], run], planned(config))["rows"][0]
        for run in (lost, dataclasses.replace(lost, result=None))
    )
    hit = find_hit(runs[0].evaluations, 0.75, 1)
    assert row["expected_time_to_target_s"] == pytest.approx(hit.train_seconds + 40.0)
    assert unknown["expected_time_to_target_s"] is None and unknown["runs_to_target"] == 2
