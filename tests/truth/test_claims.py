"""The fast part of the judge: no verdict on the post's claims is false in more sweeps than it may be."""

import json
import math

import pytest

from fastbs.bench.truth import claims, contradictions, records
from fastbs.bench.truth.claims import ACCURACY, CHOICE, WORLDS, Luck
from fastbs.rendering.summary import render_summary
from fastbs.sweeps.summary import summarize_folder

SWEEPS = 40
SEED = 7  # neither that of tuning nor that of the published study


def at_most(share, n=SWEEPS):
    """Counts of a share that is true are above this in one test of a thousand."""
    return share * n + 3.1 * math.sqrt(share * (1 - share) * n) + 0.5


@pytest.fixture(scope="module", params=[Luck(3, 0.4), Luck(5, 0.75)], ids=lambda luck: f"{luck.seeds} seeds")
def counted(request):
    return {name: claims.judge(world, request.param, SWEEPS, SEED) for name, world in WORLDS.items()}


def test_true_and_true_for_another_reason_are_false_in_5_percent_of_sweeps_at_most(counted):
    for name, count in counted.items():
        for claim in (ACCURACY, CHOICE):
            false = sum(count.false[claim, verdict] for verdict in ("true", "true for another reason"))
            assert false <= at_most(0.05), (name, claim, count.false)


def test_an_open_cause_is_said_only_of_a_true_fall_and_no_fall_only_where_there_is_none(counted):
    for name, count in counted.items():
        assert count.false[ACCURACY, "true, cause open"] <= at_most(0.05), name
        assert count.false[ACCURACY, "not seen here"] <= at_most(0.05), name


def test_what_is_excluded_is_not_true(counted):
    assert sum(count.excluded for count in counted.values()) > SWEEPS
    for name, count in counted.items():
        assert count.excluded_falsely <= at_most(0.05), name


def test_intervals_hold_the_truth(counted):
    for name, count in counted.items():
        assert count.covered["settings"] >= 0.89 * count.intervals > 0, name


def test_verdicts_are_not_bought_with_silence(counted):
    for claim in (ACCURACY, CHOICE):
        right, oracle = (sum(getattr(c, of)[claim] for c in counted.values()) for of in ("right", "oracle"))
        assert right >= 0.75 * oracle > 0, claim


def test_no_text_contradicts_its_numbers(counted):
    assert [problem for count in counted.values() for problem in count.contradictions] == []


def test_a_text_that_does_is_caught():
    config, runs = claims.simulate(WORLDS["genuine penalty"], Luck(5, 0.4), claims.np.random.default_rng(0))
    document = claims.summary_of(config, runs)
    assert contradictions.contradictions(document) == []
    broken = json.loads(json.dumps(document))
    broken["findings"][ACCURACY]["numbers"]["slope_per_doubling"] += 0.01
    broken["findings"][CHOICE]["numbers"]["options"][0]["difference_interval"][1] = 0.0
    assert len(contradictions.contradictions(broken)) == 2


def test_the_same_findings_are_read_off_the_disk(tmp_path):
    config, runs = claims.simulate(WORLDS["rate only"], Luck(3, 0.4), claims.np.random.default_rng(1))
    planned = [records.planned_run(config, run.arm, run.batch_size, run.seed) for run in runs]
    plan = records.plan_document(config, records.dataset(claims.TRAIN, claims.VALIDATION), planned)
    there = summarize_folder(records.write_sweep(tmp_path / "sweep", plan, runs))
    here = claims.summary_of(config, runs)
    assert there["findings"] == here["findings"]
    text = " ".join(render_summary(there, "table").split())
    for finding in here["findings"]:
        assert f'"{finding["claim"]}" {finding["verdict"].upper()}: {finding["text"]}' in text
