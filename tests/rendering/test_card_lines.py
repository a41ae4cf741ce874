"""The card of hyper-parameters and the noise scale, in words."""

from fastbs.analysis.card import make_card
from fastbs.config import RunConfig, SweepConfig
from fastbs.rendering.card import card_line, card_lines
from fastbs.rendering.noise import noise_estimate, noise_line


def cards(rule="linear", norm="group", **run):
    config = SweepConfig(run=RunConfig(data="photos", lr=0.01, **run), batch_sizes=(8, 128), lr_rule=rule)
    return [make_card(config, size, norm).to_json() for size in config.batch_sizes]


def test_what_sizes_share_is_said_once_and_the_rates_for_each():
    assert card_lines(cards(warmup_images=500)) == [
        "hyper-parameters: sgd, momentum 0.9, weight decay 0, warm-up 500 images, constant rate",
        "rates (linear): 8: lr 0.01 · 128: lr 0.16",
    ]


def test_what_else_a_rule_changes_stands_beside_the_rate_and_its_warnings_below():
    shared, rates, *warnings = card_lines(cards("beta2-halflife", "batch", optimizer="adamw", micro_batch=16))
    assert "eps 1e-08" in shared and "norm momentum 0.1" in shared and "beta2" not in shared
    assert rates == "rates (beta2-halflife): 8: lr 0.01, beta2 0.999 · 128: lr 0.04, beta2 0.984119, passes of 16"
    assert warnings == []
    assert card_lines(cards())[-1] == "batch 128: 16 times the rate of batch 8 without warm-up"


def test_a_warning_of_several_sizes_is_one_line():
    config = SweepConfig(
        run=RunConfig(data="photos", optimizer="adamw", weight_decay=0.1), batch_sizes=(8, 16, 32), lr_rule="sqrt"
    )
    *_, last = card_lines([make_card(config, size, None).to_json() for size in config.batch_sizes])
    assert last.startswith("batch 16, 32: weight decay of batch 8; ")


def test_one_card_is_one_line():
    assert card_line(cards()[1]).startswith("sgd, lr 0.16 (linear), momentum 0.9, ")


def test_the_noise_scale_is_said_with_what_bounds_it():
    estimates = {
        "23 [14, 74]": {"images": 23.4, "interval": [14.2, 74.1], "draws": 5},
        "above 17": {"images": 32.0, "interval": [17.1, None], "draws": 5},
        "open, about 32": {"images": 32.0, "interval": [0.0, None], "draws": 1},
        "open, about 23": {"images": 22.7, "interval": [0.0, 175.0], "draws": 4},
        "open": {"images": None, "interval": [0.0, None], "draws": 1},
        "1.5 [0.8, 2.2]": {"images": 1.5, "interval": [0.8, 2.2], "draws": 5},
    }
    assert [noise_estimate(estimate) for estimate in estimates.values()] == list(estimates)
    rows = [{"batch_size": 1024, "whole": estimates["above 17"]}]
    assert noise_line(rows) == "noise scale, images: above 17 at batch 1,024"
