"""Blocks of equal calls, on a clock of our own."""

import pytest

from fastbs.measurement import steady as room
from fastbs.measurement.steady import measure_steady


class Clock:
    """Stands still but for the work that is done."""

    def __init__(self, monkeypatch):
        self.now, self.calls = 100.0, 0
        monkeypatch.setattr(room.time, "perf_counter", lambda: self.now)

    def work(self, seconds):
        def call():
            self.now += seconds
            self.calls += 1

        return call


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.mark.parametrize("seconds", [1e-4, 0.003, 0.1, 0.7, 30.0])
def test_every_block_has_the_same_number_of_calls_and_the_length_asked_for(clock, seconds):
    steady = measure_steady(clock.work(seconds), "cpu", blocks=4, block_seconds=0.5)
    assert len({block.calls for block in steady.blocks}) == 1 and len(steady.blocks) == 4
    assert all(
        block.seconds == pytest.approx(0.5, rel=0.01) or block.calls == max(1, round(0.5 / seconds))
        for block in steady.blocks
    )
    assert steady.seconds == pytest.approx(seconds)


def test_what_happens_before_the_first_block_is_not_measured(clock):
    def slow_at_first():
        clock.now += 1.0 if clock.calls < room.WARM_UP_CALLS else 0.01
        clock.calls += 1

    steady = measure_steady(slow_at_first, "cpu", blocks=3, block_seconds=0.1)
    assert [block.seconds / block.calls for block in steady.blocks] == pytest.approx([0.01] * 3)


def test_one_slow_block_does_not_move_the_median(clock):
    work = iter([0.01] * 10_000)
    blocks = 5

    def call():
        clock.calls += 1
        clock.now += next(work) + (5.0 if clock.calls == 75 else 0.0)

    steady = measure_steady(call, "cpu", blocks=blocks, block_seconds=0.1)
    assert max(block.seconds for block in steady.blocks) > 4
    assert steady.seconds == pytest.approx(0.01)


def test_a_cpu_tells_nothing_about_a_card(clock):
    document = measure_steady(clock.work(0.1), "cpu", blocks=2).to_json()
    assert document["power_w"] is None and document["throttled_share"] is None
    assert all(clock_mhz is None for *_, clock_mhz in document["blocks"])
