"""The card of hyper-parameters: what each rule makes of them, and when it warns."""

from dataclasses import replace

import pytest

from fastbs.analysis.arms import planned_beta2, planned_lr, planned_weight_decay, rate_is_scaled
from fastbs.analysis.card import make_card
from fastbs.config import RunConfig, SweepConfig
from fastbs.errors import BadInput


def sweep(rule="linear", optimizer="sgd", sizes=(8, 32, 128), lrs=(), **run):
    return SweepConfig(
        run=RunConfig(data="photos", lr=0.01, optimizer=optimizer, **run), batch_sizes=sizes, lr_rule=rule, lrs=lrs
    )


@pytest.mark.parametrize(
    ("rule", "optimizer", "lr", "beta2"),
    [
        ("constant", "sgd", 0.01, None),
        ("linear", "sgd", 0.16, None),
        ("sqrt", "adamw", 0.04, 0.999),
        ("beta2-halflife", "adamw", 0.04, 0.999**16),
    ],
)
def test_rules_scale_what_they_say_from_the_size_at_which_the_rate_holds(rule, optimizer, lr, beta2):
    card = make_card(sweep(rule, optimizer), 128, "group")
    assert card.lr == pytest.approx(lr)
    assert card.beta2 is None if beta2 is None else card.beta2 == pytest.approx(beta2)
    assert make_card(sweep(rule, optimizer), 8, "group").lr == 0.01


def test_beta2_keeps_its_half_life_in_images():
    config = sweep("beta2-halflife", "adamw")
    assert planned_beta2(config, 128) ** (1 / 128) == pytest.approx(planned_beta2(config, 8) ** (1 / 8))


def test_given_rates_are_taken_as_they_are_and_must_name_every_size():
    config = sweep("given", lrs=((8, 0.1), (32, 0.3), (128, 0.2)))
    assert [planned_lr(config, "main", size) for size in (8, 32, 128)] == [0.1, 0.3, 0.2]
    with pytest.raises(BadInput, match="lrs: give one rate for each of the batch sizes 8, 32, 128"):
        sweep("given", lrs=((8, 0.1), (32, 0.3)))
    with pytest.raises(BadInput, match="leave one of them out"):
        sweep("linear", lrs=((8, 0.1), (32, 0.3), (128, 0.2)))


@pytest.mark.parametrize("rule", ["constant", "linear", "sqrt", "beta2-halflife", "given", "tuned"])
@pytest.mark.parametrize("lr_at", [None, 32])
def test_the_timescale_rule_averages_weights_over_the_same_images_at_every_size(rule, lr_at):
    rates = ((8, 0.1), (32, 0.3), (128, 0.2)) if rule == "given" else ()
    config = replace(sweep(rule, "adamw", lrs=rates, weight_decay=0.05), lr_at=lr_at, weight_decay_rule="timescale")
    cards = [make_card(config, size, None) for size in config.batch_sizes]
    images = [card.batch_size / (card.lr * card.weight_decay) for card in cards]
    assert images == pytest.approx([images[0]] * 3)
    assert {card.batch_size: card.weight_decay for card in cards}[lr_at or 8] == pytest.approx(0.05)
    assert not any("weight decay" in warning for card in cards for warning in card.warnings)


def test_at_one_rate_the_decay_is_in_proportion_to_the_size_and_at_one_decay_it_is_the_users():
    config = replace(sweep("constant", "adamw", weight_decay=0.05), weight_decay_rule="timescale")
    assert planned_weight_decay(config, 128, 0.01) == pytest.approx(0.8)
    assert planned_weight_decay(replace(config, weight_decay_rule="constant"), 128, 0.7) == 0.05
    with pytest.raises(BadInput, match="weight-decay-rule: timescale is a rule for AdamW"):
        replace(sweep(), weight_decay_rule="timescale")


def test_only_rates_that_differ_count_as_scaled():
    assert [rate_is_scaled(sweep(rule)) for rule in ("constant", "linear", "sqrt", "tuned")] == [
        False,
        True,
        True,
        True,
    ]
    assert not rate_is_scaled(sweep("given", lrs=((8, 0.1), (32, 0.1), (128, 0.1))))
    assert rate_is_scaled(sweep("given", lrs=((8, 0.1), (32, 0.2), (128, 0.3))))


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (make_card(sweep("constant"), 32, None), "the rate is that of batch 8: size and rate are confounded"),
        (make_card(sweep(), 128, None), "16 times the rate of batch 8 without warm-up"),
        (make_card(sweep(warmup_images=500), 128, None, b_crit=100), "beyond the critical batch size (100)"),
        (make_card(sweep("linear", "adamw"), 32, None), "for AdamW the root is usual"),
        (make_card(sweep("sqrt", "adamw"), 128, None), "beta1 and beta2 cannot follow"),
        (make_card(sweep("beta2-halflife", "adamw", beta2=0.9), 128, None), "forgets half within 0.4 updates"),
        (make_card(sweep("sqrt", "adamw", weight_decay=0.1), 32, None), "weight decay of batch 8"),
        (make_card(sweep(schedule="cosine"), 32, None, b_crit=1000), "under a cosine rate images to a target"),
    ],
)
def test_a_rule_outside_its_range_is_warned_of(card, said):
    assert any(said in warning for warning in card.warnings)


def test_a_rule_within_its_range_is_not_warned_of():
    assert make_card(sweep(warmup_images=500), 32, "batch", b_crit=1000).warnings == ()
    assert make_card(sweep("constant"), 8, None).warnings == ()
    assert make_card(sweep("sqrt", "adamw", weight_decay=0.1), 8, None).warnings == ()
    assert make_card(sweep(schedule="cosine"), 32, None).warnings == ()


def test_accumulation_and_the_momentum_of_batch_norm_stand_on_the_card():
    card = make_card(sweep(micro_batch=16), 128, "batch")
    assert (card.micro_batch, card.accumulation, card.norm_momentum) == (16, 8, 0.1)
    assert make_card(sweep(micro_batch=16), 8, "group").accumulation == 1
