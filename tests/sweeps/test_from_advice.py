"""`sweep --from-advice`: the experiment that verifies an advice."""

import json

import pytest
from click.testing import CliRunner

from fastbs.cli import fastbs
from fastbs.config import RunConfig, SweepConfig
from fastbs.errors import BadInput


@pytest.fixture
def asked(monkeypatch):
    """The sweeps that were asked for; they are not made."""
    configs = []

    def sweep(config, folder, say):
        configs.append((config, str(folder)))
        raise BadInput("far enough")

    monkeypatch.setattr("fastbs.cli.sweep.run_sweep", sweep)
    return configs


def advice(tmp_path, **settings):
    run = RunConfig(data="elsewhere", model="resnet18", target=0.8, until_target=True, lr=0.02, momentum=0.8)
    config = SweepConfig(run=run, batch_sizes=(8, 32, 128), controls=False, **settings)
    path = tmp_path / "advice.json"
    path.write_text(json.dumps({"schema": 1, "kind": "advice", "recommended": 32, "config": config.to_json()}))
    return path


def sweep(*arguments):
    done = CliRunner().invoke(fastbs, ["sweep", "photos", *map(str, arguments)])
    return str(done.exception) if isinstance(done.exception, BadInput) else done.stderr


def test_the_settings_are_those_of_the_advice_and_options_override_them(tmp_path, asked):
    path = advice(tmp_path, lr_rule="linear", lr_at=8)
    sweep("--from-advice", path, "--batch-sizes", "8,32", "--seeds", "2", "--momentum", "0.9")
    [(config, folder)] = asked
    assert (config.batch_sizes, config.seeds, config.lr_rule, config.lr_at, config.controls) == (
        (8, 32),
        2,
        "linear",
        8,
        False,
    )
    assert (config.run.data, config.run.model, config.run.target, config.run.lr) == ("photos", "resnet18", 0.8, 0.02)
    assert config.run.until_target and config.run.momentum == 0.9 and folder == "runs/advice"


def test_rates_that_were_given_are_taken_for_the_sizes_that_are_swept(tmp_path, asked):
    path = advice(tmp_path, lr_rule="given", lrs=((8, 0.01), (32, 0.03), (128, 0.05)))
    sweep("--from-advice", path, "--batch-sizes", "8,128")
    assert asked[0][0].lrs == ((8, 0.01), (128, 0.05))
    said = sweep("--from-advice", path, "--batch-sizes", "8,64")
    assert "lrs: give one rate for each of the batch sizes 8, 64" in said


def test_without_sizes_those_of_the_advice_are_swept(tmp_path, asked):
    sweep("--from-advice", advice(tmp_path, lr_rule="linear"))
    assert asked[0][0].batch_sizes == (8, 32, 128)


def test_an_advice_that_recommends_nothing_is_refused(tmp_path, asked):
    path = tmp_path / "advice.json"
    path.write_text(json.dumps({"schema": 1, "kind": "advice", "recommended": None, "config": None}))
    assert "advice.json: recommends nothing that could be verified" in sweep("--from-advice", path)
    path.write_text(json.dumps({"schema": 1, "kind": "sweep"}))
    assert "not a fastbs advice record" in sweep("--from-advice", path)
