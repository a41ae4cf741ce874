import time

import pytest

from fastbs.training import clock as clock_module
from fastbs.training.clock import BlockTimer, RunClock


@pytest.fixture
def ticking(monkeypatch):
    """A clock that moves only when it is told to."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(clock_module, "minor_faults", lambda: 0)

    def tick(seconds):
        now[0] += seconds

    return tick


def test_training_time_is_what_lies_between_resume_and_pause(ticking):
    clock = RunClock()
    timer = BlockTimer(clock)
    for _ in range(3):
        timer.resume()
        ticking(2.0)
        timer.count_update()
        timer.pause()
        ticking(100.0)
    assert clock.train == 6.0
    assert [seconds for _, seconds, _ in clock.blocks] == [2.0, 2.0, 2.0]


def test_a_block_goes_on_across_a_pause_until_it_is_long_enough(ticking):
    clock = RunClock()
    timer = BlockTimer(clock)
    for _ in range(3):
        timer.resume()
        ticking(0.2)
        timer.count_update()
        timer.pause()
    assert clock.blocks == [(3, pytest.approx(0.6), 0)]


def test_the_first_block_does_not_count_unless_it_is_the_only_one(ticking):
    clock = RunClock(blocks=[(1, 9.0, 0), (1, 1.0, 0), (2, 4.0, 0)])
    assert clock.step_seconds() == 1.5
    assert RunClock(blocks=[(2, 9.0, 0)]).step_seconds() == 4.5


def test_a_run_shorter_than_a_block_still_has_a_step_time(ticking):
    clock = RunClock()
    timer = BlockTimer(clock)
    timer.resume()
    ticking(0.1)
    timer.count_update()
    timer.pause()
    timer.close()
    assert clock.step_seconds() == pytest.approx(0.1)


def test_a_clock_travels_through_a_checkpoint_and_adds_the_new_start_up(monkeypatch):
    clock = RunClock(train=5.0, input_wait=1.0, evaluation=2.0, checkpoint=0.5, startup=3.0, blocks=[(1, 1.0, 2)])
    monkeypatch.setattr(clock_module, "process_started", lambda: time.monotonic() - 10)
    again = RunClock()
    again.load_state_dict(clock.state_dict())
    assert (again.train, again.evaluation, again.blocks) == (5.0, 2.0, [(1, 1.0, 2)])
    assert again.wall == pytest.approx(20, abs=1)
    again.started_up()
    assert again.startup == pytest.approx(13, abs=1)


def test_counting_adds_to_its_kind_only(ticking):
    clock = RunClock()
    with clock.counting("evaluation"):
        ticking(1.5)
    assert (clock.evaluation, clock.checkpoint, clock.train) == (1.5, 0.0, 0.0)
