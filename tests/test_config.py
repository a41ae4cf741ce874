import dataclasses
from importlib import resources

import pytest

from fastbs.config import RunConfig, SweepConfig, load_preset, load_toml, sweep_config
from fastbs.errors import BadInput


@pytest.mark.parametrize("preset", ["demo", "post"])
def test_a_preset_makes_a_sweep_and_travels_through_json(preset):
    config = sweep_config("photos", load_preset(preset), preset)
    assert SweepConfig.from_json(config.to_json()) == config


def test_the_demo_is_what_it_promises():
    demo = sweep_config("digits", load_preset("demo"), "demo")
    assert demo.batch_sizes == (1, 2, 4, 8, 32)
    assert demo.run.epochs >= 5 and demo.seeds == 3 and demo.controls and demo.control_at == 8


def test_every_preset_file_is_known_and_usable():
    for entry in (resources.files("fastbs") / "presets").iterdir():
        sweep_config("photos", load_preset(entry.name.removesuffix(".toml")), entry.name)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"lrr": 1}, "mine.toml: unknown key 'lrr'; did you mean 'lr'?"),
        ({"zzz": 1}, "mine.toml: unknown key 'zzz'; known: .*batch_sizes"),
        ({"lr": "fast"}, "mine.toml: lr: 'fast' is not of type float"),
        ({"seeds": 2.5}, "mine.toml: seeds: 2.5 is not of type int"),
        ({"seeds": True}, "mine.toml: seeds: True is not of type int"),
        ({"loader": "dalli"}, "mine.toml: loader: 'dalli' is none of dali, resident, torch, synthetic"),
        ({"batch_sizes": 8}, "mine.toml: batch_sizes: 8 is not a list"),
        ({"batch_sizes": [8, 4]}, "batch-sizes: 8, 4 do not rise"),
        ({"batch_sizes": [0, 4]}, "batch-sizes: 0 is not a number from 1 on"),
        ({"batch_sizes": []}, "batch-sizes: none given"),
        ({"control_at": 3}, "control-at: 3 is not one of the batch sizes"),
        ({"lr": 0}, "lr: 0.0 is not a number above 0"),
        ({"lr": float("nan")}, "lr: nan is not a number above 0"),
        ({"momentum": 1}, r"momentum: 1.0 is not in \[0, 1\)"),
        ({"epochs": -1}, "epochs: -1.0 is not a number above 0"),
        ({"epochs": float("inf")}, "epochs: inf is not a number above 0"),
        ({"weight_decay": float("inf")}, "weight-decay: inf is not a number from 0 on"),
        ({"target": 75}, "target: 75.0 is not a top1 fraction"),
        ({"weight_decay": -1}, "weight-decay: -1.0 is not a number from 0 on"),
        ({"pretrained": True, "init": "x.pt"}, "either pretrained weights or an init file"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(settings, says):
    with pytest.raises(BadInput, match=says) as refused:
        sweep_config("photos", settings, "mine.toml")
    assert "\n" not in str(refused.value)


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(BadInput, match="preset 'psot': unknown; known: demo, post"):
        load_preset("psot")


@pytest.mark.parametrize("content", [b"lr = ", b"\xff\xfe"])
def test_a_broken_settings_file_is_refused_by_name(tmp_path, content):
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="mine.toml: not a readable TOML file"):
        load_toml(path)


def test_whole_numbers_may_stand_for_fractions_and_nothing_else_changes_type():
    run = sweep_config("photos", {"lr": 1, "epochs": 3}, "x").run
    assert isinstance(run.lr, float) and isinstance(run.epochs, float)


def test_every_setting_of_a_run_has_a_default_but_the_images():
    needed = [f.name for f in dataclasses.fields(RunConfig) if f.default is dataclasses.MISSING]
    assert needed == ["data"]
