from dataclasses import replace
from types import SimpleNamespace

import pytest

from fastbs.analysis.budget import evaluation_every, total_updates
from fastbs.config import RunConfig, SweepConfig
from fastbs.errors import BadInput
from fastbs.results.sweep_folder import SweepFolder
from fastbs.sweeps.plan import make_plan
from fastbs.sweeps.sweep import _refuse_other

IMAGES = 1348


def plan(train_images=IMAGES, **settings):
    run = RunConfig(data="digits", epochs=10, lr=1e-3, eval_images=train_images)
    return make_plan(SweepConfig(run=run, **settings), train_images)


def test_every_size_meets_every_seed_once():
    runs = [(run.config.batch_size, run.config.seed) for run in plan(seeds=3) if run.arm == "main"]
    assert sorted(runs) == [(size, seed) for size in (1, 2, 4, 8) for seed in range(3)]


def test_names_are_unique_and_the_order_is_the_same_every_time():
    first, again = plan(), plan()
    assert first == again
    assert len({run.id for run in first}) == len(first)


def test_the_order_within_a_seed_is_random_and_seeds_are_blocks():
    runs = plan(seeds=5)
    seeds = [run.config.seed for run in runs]
    assert seeds == sorted(seeds)
    orders = {tuple(run.config.batch_size for run in runs if run.config.seed == seed) for seed in range(5)}
    assert len(orders) > 1


def test_updates_are_those_of_the_post_and_the_control_makes_as_many_as_batch_1():
    runs = plan(seeds=1, control_at=8)
    by_name = {run.id: total_updates(run.config, IMAGES) for run in runs}
    assert by_name["b0001-s0"] == 13_480 and by_name["b0008-s0"] == 1_680
    assert by_name["b0008-s0-same-updates"] == 13_480
    assert by_name["b0008-s0-scaled-lr"] == 1_680


def test_scaled_controls_have_the_rate_times_the_ratio_or_its_root_and_nothing_else_changed():
    runs = {run.id: run.config for run in plan(seeds=1, control_at=4)}
    assert runs["b0004-s0-scaled-lr"] == runs["b0004-s0"].replace(lr=4e-3)
    assert runs["b0004-s0-root-lr"] == runs["b0004-s0"].replace(lr=2e-3)
    assert {run.arm for run in plan(lr_rule="sqrt")} == {"main", "same-updates", "scaled-lr"}  # the root is the rule


@pytest.mark.parametrize(("rule", "expected"), [("constant", 1e-3), ("linear", 8e-3), ("sqrt", 8**0.5 * 1e-3)])
def test_the_rule_sets_the_rate_of_every_size(rule, expected):
    runs = {run.id: run.config.lr for run in plan(seeds=1, lr_rule=rule, controls=False)}
    assert runs["b0001-s0"] == 1e-3
    assert runs["b0008-s0"] == pytest.approx(expected)


def test_the_rate_may_hold_at_any_size():
    runs = {run.id: run.config.lr for run in plan(seeds=1, lr_rule="linear", lr_at=8, controls=False)}
    assert runs["b0008-s0"] == 1e-3 and runs["b0001-s0"] == pytest.approx(1e-3 / 8)


def test_the_decay_follows_size_and_rate_in_every_arm():
    run = RunConfig(data="digits", lr=1e-3, optimizer="adamw", weight_decay=0.1)
    config = SweepConfig(run=run, seeds=1, control_at=8, weight_decay_rule="timescale")
    runs = {planned.id: planned.config for planned in make_plan(config, IMAGES)}
    assert runs["b0001-s0"].weight_decay == 0.1 and runs["b0008-s0"].weight_decay == pytest.approx(0.8)
    assert runs["b0008-s0-same-updates"].weight_decay == runs["b0008-s0"].weight_decay
    assert runs["b0008-s0-scaled-lr"].weight_decay == pytest.approx(0.1)  # 8 times the rate, 8 times the images


def test_a_plan_from_before_there_was_a_rule_for_the_decay_has_one_decay():
    run = RunConfig(data="digits", optimizer="adamw", weight_decay=0.1)
    document = SweepConfig(run=run).to_json()
    del document["weight_decay_rule"]
    planned = make_plan(SweepConfig.from_json(document), IMAGES)
    assert {one.config.weight_decay for one in planned} == {0.1}


def test_a_sweep_from_before_there_was_a_rule_for_the_decay_goes_on(tmp_path):
    config, images = SweepConfig(run=RunConfig(data="digits")), SimpleNamespace(fingerprint="same", root="digits")
    requested = {key: value for key, value in config.to_json().items() if key != "weight_decay_rule"}
    plan = {"requested": requested, "dataset": {"fingerprint": "same"}}
    _refuse_other(SweepFolder(tmp_path), plan, config, images)
    with pytest.raises(BadInput, match="another experiment .seeds 5, not 3"):
        _refuse_other(SweepFolder(tmp_path), plan, replace(config, seeds=3), images)


def test_a_linear_rule_needs_no_scaled_control():
    assert {run.arm for run in plan(lr_rule="linear")} == {"main", "same-updates"}


def test_one_size_has_no_controls():
    assert {run.arm for run in plan(batch_sizes=(8,))} == {"main"}


def test_a_size_beyond_the_training_set_is_refused():
    with pytest.raises(BadInput, match="2048 is larger than the training set of 1,348 images"):
        plan(batch_sizes=(8, 2048))


def test_evaluations_are_an_epoch_apart_at_every_size_and_the_last_one_is_at_the_end():
    for run in plan(batch_sizes=(1, 2, 4, 8, 32), seeds=1, controls=False):
        every = evaluation_every(run.config)
        assert 0 <= IMAGES - every * run.config.batch_size < run.config.batch_size
        assert total_updates(run.config, IMAGES) == 10 * every
