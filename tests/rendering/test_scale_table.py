import json

import pytest

from fastbs.analysis.samples_to_target import SamplesFit
from fastbs.analysis.scale import ScaledStep, scale_table
from fastbs.analysis.step_time import StepTimeFit
from fastbs.rendering.scale import render_scale

STEPS = (
    ScaledStep(StepTimeFit(4e-3, 1e-4, 0.0, (), ())),
    ScaledStep(StepTimeFit(0.0, 1e-4, 0.0, (), ()), tree=4e-4),
)


@pytest.fixture
def document():
    law = SamplesFit(1e7, 1e4, (64, 512, 2048), (0.0,) * 3, replicates=((1e7, 1e4),) * 10)
    return scale_table(law, STEPS, [1, 8, 64, 8192], most_images=256, train_images=1_000_000)


def test_every_row_and_assumption_is_shown(document):
    text = render_scale(document, "table")
    lines = text.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["1", "8", "64", "8,192"]
    assert all(len(line) <= 120 for line in lines)
    assert text.count("Assumed: ") == len(document["assumptions"])
    first = document["rows"][0]
    assert f"{first['batch_size']}" in lines[1] and f"{first['seconds']:,.0f}" in lines[1]


def test_a_row_beyond_the_law_has_no_numbers(document):
    row = render_scale(document, "table").splitlines()[4].split()
    assert row == ["8,192", *["-"] * 9, "law"]


def test_where_more_gpus_stop_paying_is_said(document):
    stop = document["stops"]["gpus"]
    assert stop is not None
    assert f"More GPUs stop paying at {stop:,}: doubling them saves less than 20 %" in render_scale(document, "table")
    document["stops"]["gpus"] = None
    assert "pays up to the largest batch size that the law is trusted at, 4,096" in render_scale(document, "table")


def test_markdown_is_a_table_with_a_list_and_json_the_document(document):
    markdown = render_scale(document, "markdown")
    assert markdown.startswith("|") and "\n\n- More GPUs" in markdown
    assert json.loads(render_scale(document, "json")) == document
