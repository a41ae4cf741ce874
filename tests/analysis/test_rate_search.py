"""The search for a learning rate: as many trials for everyone, and honest about its grid's ends."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.analysis.rate_search import TRIALS, joint_score, score_of, search_rate
from fastbs.results.record import Evaluation, RunRecord


def bowl(best):
    """Images to the target around the best rate: a parabola in the logarithm."""
    return lambda lr: (0, 1000 * (1 + math.log(lr / best) ** 2))


@given(st.floats(-6, 6), st.floats(1e-5, 1))
def test_every_search_takes_as_many_trials_and_none_twice(octaves, start):
    search = search_rate(8, start, bowl(start * 2**octaves))
    rates = [trial.lr for trial in search.trials]
    assert len(rates) == TRIALS == len(set(rates))
    assert search.best == min(rates, key=lambda lr: (bowl(start * 2**octaves)(lr), lr))


@pytest.mark.parametrize("octaves", [-2.4, -1, -0.3, 0, 0.4, 1, 2.4])
def test_a_best_rate_within_reach_is_found_to_a_factor_and_lies_inside(octaves):
    search = search_rate(8, 0.01, bowl(0.01 * 2**octaves))
    assert search.interior
    assert abs(math.log2(search.best / (0.01 * 2**octaves))) <= (0.5 if abs(octaves) < 1.5 else 1)


@pytest.mark.parametrize("octaves", [-5, 5])
def test_a_best_rate_out_of_reach_is_flagged_and_not_taken_for_the_best(octaves):
    search = search_rate(8, 0.01, bowl(0.01 * 2**octaves))
    assert not search.interior and not search.to_json()["interior"]
    assert search.best == pytest.approx(0.01 * 2 ** (3 if octaves > 0 else -3))


def run(status, *top1, loss=1.0):
    evaluations = tuple(
        Evaluation(
            images=100 * n,
            updates=10 * n,
            train_seconds=n,
            wall_seconds=n,
            train_loss=1.0,
            train_top1=0.5,
            loss=loss / n,
            top1=value,
            balanced_top1=value,
            lr=0.1,
        )
        for n, value in enumerate(top1, 1)
    )
    return RunRecord(id="r", arm="tuning", batch_size=8, seed=1000, lr=0.1, status=status, evaluations=evaluations)


def test_reaching_sooner_beats_later_beats_a_lower_loss_beats_no_end():
    soon, late = run("ok", 0.1, 0.8, 0.8), run("ok", 0.1, 0.2, 0.8, 0.8)
    near, far = run("missed", 0.1, 0.2, 0.3, 0.4), run("missed", 0.1, 0.2, 0.3, 0.4, loss=2.0)
    scores = [score_of(record, 0.7, 2) for record in (soon, late, near, far, run("diverged", 0.1))]
    assert scores == sorted(scores) and len(set(scores)) == 5
    assert [kind for kind, _ in scores] == [0, 0, 1, 1, 2]


def test_without_a_target_the_last_quarter_of_the_validation_loss_decides():
    assert score_of(run("ok", *[0.5] * 8, loss=56.0), None, 2) == (1, pytest.approx((8 + 7) / 2))


def test_two_trainings_at_a_rate_count_as_their_mean_and_as_the_worse_outcome():
    assert joint_score([(0, 100.0), (0, 400.0)]) == (0, pytest.approx(200))
    assert joint_score([(0, 100.0), (1, 0.5)]) == (1, 0.5)
    assert joint_score([(2, math.inf), (0, 1.0)]) == (2, math.inf)
    trial = search_rate(8, 0.1, bowl(0.1), seeds=2).to_json()["trials"][0]
    assert trial["seeds"] == 2 and trial["score"] == "images_to_target"
