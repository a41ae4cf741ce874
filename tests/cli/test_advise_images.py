"""`fastbs advise` on a folder of images: when it makes a bench and a pilot, and with which settings."""

import pytest
from click.testing import CliRunner

from fastbs.cli import fastbs
from fastbs.errors import BadInput


@pytest.fixture
def piloted(monkeypatch):
    """What a pilot was asked for; it is not made."""
    asked = []

    def make(config, sizes, budget, out, say):
        asked.append((config, sizes, budget, out))
        raise BadInput("far enough")

    monkeypatch.setattr("fastbs.sweeps.pilot.make_pilot", make)
    return asked


def advise(*arguments):
    return CliRunner().invoke(fastbs, ["advise", *map(str, arguments)])


def test_images_and_a_budget_make_a_pilot_with_the_settings_that_were_given(photos, piloted):
    done = advise(photos, "--budget", "2h", "--target", "0.8", "--model", "resnet18", "--batch-sizes", "8..64x2")
    assert "far enough" in refusal(done)
    [(config, sizes, budget, out)] = piloted
    assert (sizes, budget, str(out)) == ((8, 16, 32, 64), 7200.0, f"runs/{photos.name}-pilot")
    assert (config.run.model, config.run.target, config.lr_rule) == ("resnet18", 0.8, "linear")


def refusal(done):
    """One line, of click or as `main` prints it."""
    return str(done.exception) if isinstance(done.exception, BadInput) else done.stderr


@pytest.mark.parametrize(("options", "rule"), [(("--optimizer", "adamw"), "sqrt"), (("--lr-rule", "sqrt"), "sqrt")])
def test_the_rule_is_the_usual_one_of_the_optimizer_unless_it_is_given(photos, piloted, options, rule):
    advise(photos, "--budget", "10m", "--target", "0.8", *options)
    assert piloted[0][0].lr_rule == rule


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("PHOTOS",), "holds no sweep of fastbs; for a folder of images give --budget"),
        (("PHOTOS", "PHOTOS", "--budget", "2h"), "give records, or one folder of images"),
        (("PHOTOS", "--budget", "soon"), "'soon' is no duration above 0"),
        (("PHOTOS", "--budget", "2h", "--target", "80"), "target: 80.0 is not a top1 fraction"),
        (("nowhere",), "nowhere"),
        (("BENCH", "--budget", "2h"), "budget: is for a folder of images; these records have been made"),
        (("BENCH", "--model", "resnet18"), "model: is for a folder of images"),
    ],
)
def test_what_cannot_be_is_one_line(photos, piloted, tmp_path, arguments, said):
    (tmp_path / "bench.json").write_text("{}")
    places = {"PHOTOS": photos, "BENCH": tmp_path / "bench.json"}
    done = advise(*(places.get(word, word) for word in arguments))
    assert said in refusal(done) and not piloted
