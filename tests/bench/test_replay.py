"""pytest-benchmark gets the times that were measured, not the time that replaying takes."""

import statistics

import pytest

from fastbs.bench.replay import CLOCK, replay
from fastbs.bench.session import replayed, replayed_rounds


@replayed
@pytest.mark.parametrize("seconds", [[0.25], [1e-6, 2e-6, 4e-6], [3.0, 0.001, 7.5, 0.002]])
def test_the_statistics_are_those_of_the_measured_values(benchmark, seconds):
    replay(benchmark, seconds)
    stats = benchmark.stats.stats
    assert stats.data == pytest.approx(seconds, rel=1e-6)
    assert stats.median == pytest.approx(statistics.median(seconds), rel=1e-6)


def test_the_timer_is_stored_under_the_same_name_by_every_process():
    assert repr(CLOCK) == "fastbs.bench.replay.CLOCK"


def test_a_round_is_the_time_of_an_image_so_that_ranking_by_time_ranks_by_images_per_second():
    small = {"question": "throughput", "batch_size": 1, "block_seconds": [[0.001, 0.0012], [0.0011]]}
    large = {"question": "throughput", "batch_size": 8, "block_seconds": [[0.004], [0.0048]]}
    assert replayed_rounds(small) == [0.001, 0.0012, 0.0011]
    assert max(replayed_rounds(large)) < min(replayed_rounds(small)), "8 images in 4 ms beat 1 image in 1 ms"
