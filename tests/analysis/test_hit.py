"""When a target counts as reached: held, and between which evaluations."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.analysis.hit import find_hit
from fastbs.results.record import Evaluation


def run(*top1):
    """Evaluations every 100 images, 10 updates, 2 s of training and 3 s of wall clock."""
    zeros = {field.name: 0 for field in dataclasses.fields(Evaluation)}
    return [
        Evaluation(
            **zeros
            | {"images": 100 * n, "updates": 10 * n, "train_seconds": 2.0 * n, "wall_seconds": 3.0 * n, "top1": value}
        )
        for n, value in enumerate(top1, 1)
    ]


def test_the_crossing_lies_on_the_line_between_two_evaluations():
    hit = find_hit(run(0.1, 0.5, 0.9, 0.9), 0.6)
    assert (hit.images, hit.updates) == (pytest.approx(225), pytest.approx(22.5))
    assert (hit.train_seconds, hit.wall_seconds) == (pytest.approx(4.5), pytest.approx(6.75))
    assert (hit.half_images, hit.half_train_seconds, hit.half_wall_seconds) == (50, 1.0, 1.5)


def test_a_lucky_evaluation_is_no_hit_and_the_first_of_those_held_is_charged():
    lucky = run(0.1, 0.9, 0.2, 0.5, 0.9, 0.9)
    assert find_hit(lucky, 0.8).images == pytest.approx(475)
    assert find_hit(lucky, 0.8, hold=1).images == pytest.approx(187.5)
    assert find_hit(lucky, 0.8, hold=3) is None


def test_a_run_that_ends_on_its_first_evaluation_there_has_not_held_it():
    assert find_hit(run(0.1, 0.9), 0.8) is None and find_hit(run(0.1, 0.9), 0.8, hold=1) is not None
    assert find_hit([], 0.8) is None and find_hit(run(0.1, 0.2), 0.8) is None


def test_a_run_that_starts_above_the_target_is_charged_half_of_the_first_stretch():
    hit = find_hit(run(0.9, 0.9), 0.8)
    assert (hit.images, hit.half_images, hit.train_seconds) == (50, 50, 1.0)


@given(st.lists(st.integers(0, 100), max_size=12), st.integers(1, 100), st.integers(1, 4))
def test_a_hit_is_in_the_stretch_before_the_first_window_that_brute_force_finds(points, target, hold):
    evaluations = run(*(point / 100 for point in points))
    windows = [i for i in range(len(points) - hold + 1) if min(points[i : i + hold]) / 100 >= target / 100]
    hit = find_hit(evaluations, target / 100, hold)
    if not windows:
        assert hit is None
        return
    # a window may start inside a stretch that is above the target: then the first of them is where it began
    assert 100 * windows[0] <= hit.images <= 100 * (windows[0] + 1)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12), st.floats(0.1, 1))
def test_a_lower_target_is_never_reached_later(points, target):
    high, low = find_hit(run(*points), target), find_hit(run(*points), target * 0.9)
    assert high is None or low.images <= high.images + 1e-9
