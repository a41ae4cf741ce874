import json

import pytest
from click.testing import CliRunner

from fastbs.cli.show import show
from fastbs.config import RunConfig, SweepConfig
from fastbs.results.sweep_folder import SweepFolder


@pytest.fixture
def begun(tmp_path):
    """A sweep that was planned and has no run yet."""
    config = SweepConfig(run=RunConfig(data="x", device="cpu", threads=1, eval_images=80), batch_sizes=(1, 2), seeds=1)
    runs = [
        {"id": f"b{size}", "arm": "main", "config": config.run.replace(batch_size=size).to_json()} for size in (1, 2)
    ]
    dataset = {"name": "x", "train": 80, "validation": 20, "test": None, "split": "-", "imbalance": 1.0}
    folder = SweepFolder(tmp_path / "sweep")
    folder.open()
    plan = {"resolved": config.to_json(), "dataset": dataset, "machine": {}, "parameters": 1, "norm": "none"}
    folder.write_plan(plan | {"runs": runs})
    return str(folder.path)


@pytest.mark.parametrize("style", ["json", "csv"])
def test_one_document_on_stdout_takes_one_folder(begun, style):
    refused = CliRunner().invoke(show, [begun, begun, "--format", style])
    assert refused.exit_code == 2 and refused.stdout == ""
    assert f"--format {style} prints one document: give one folder" in refused.stderr
    assert CliRunner().invoke(show, [begun, "--format", style]).exit_code == 0


def test_the_json_of_one_folder_is_one_document(begun):
    assert json.loads(CliRunner().invoke(show, [begun, "--format", "json"]).stdout)["kind"] == "sweep"


def test_tables_of_several_folders_follow_each_other(begun):
    shown = CliRunner().invoke(show, [begun, begun])
    assert shown.exit_code == 0 and shown.stdout.count("x: 80 train") == 2
