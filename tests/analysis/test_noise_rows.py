"""The noise scale of a sweep: by size, and by stretch of training."""

import pytest

from fastbs.analysis.noise_rows import noise_rows
from fastbs.results.record import NoiseDraw, RunRecord


def draw(images, scale, mean=1.0):
    """A draw whose estimates are |G|^2 = mean and tr Sigma = scale, exactly: of 8 micro-batches of 16."""
    return NoiseDraw(
        images=images,
        updates=1,
        micro_batch=16,
        squared_norms=(mean + scale / 16,) * 8,
        squared_norm_of_mean=mean + scale / 128,
        seconds=0.1,
    )


def run(size, seed, *draws, arm="main"):
    return RunRecord(id="r", arm=arm, batch_size=size, seed=seed, lr=0.1, status="ok", noise=draws)


def test_draws_of_all_seeds_of_a_size_are_one_estimate_and_stretches_their_own():
    seeds = [run(8, seed, draw(100, 10 + seed), draw(200, 20 + seed), draw(300, 60 + seed)) for seed in range(4)]
    rows = noise_rows([*seeds, run(32, 0, draw(300, 40)), run(8, 0, draw(100, 1e6), arm="scaled-lr"), run(64, 0)])
    assert [row["batch_size"] for row in rows] == [8, 32]
    first = rows[0]
    assert first["whole"]["images"] == pytest.approx(31.5) and first["whole"]["draws"] == 12
    assert [stretch["images"] for stretch in first["during"]] == pytest.approx([11.5, 21.5, 61.5])
    assert first["late"]["images"] == pytest.approx(41.5) and first["late"]["draws"] == 8
    low, high = first["during"][2]["interval"]
    assert low < 61.5 < high < 65
    assert rows[1]["during"][:2] == [None, None] and rows[1]["whole"]["interval"] == [0.0, None]
