"""The spread of a row beside that of others: what is lent, and what is not."""

import math
import random

import pytest

from fastbs.analysis.comparison.metrics import METRICS
from fastbs.analysis.comparison.moderation import Moderation, RowSpread
from fastbs.analysis.comparison.records import Sample
from fastbs.analysis.comparison.units import Units, units_of

TOP1 = METRICS["top1"]


def spreads(seed, sds, values=5, shared=0.0):
    draw = random.Random(seed)
    common = [draw.gauss(0, 1) for _ in range(values)]
    return [
        Units(
            "seeds",
            differences=tuple(
                sd * (math.sqrt(shared) * luck + math.sqrt(1 - shared) * draw.gauss(0, 1)) for luck in common
            ),
        ).spread
        for sd in sds
    ]


def test_rows_alike_lend_degrees_of_freedom_and_pool_their_spread():
    found = Moderation.of(spreads(1, [0.02] * 40))
    quiet = RowSpread(0.01**2, 4.0, (), 4)
    variance, df = found.moderated(quiet, 4.0)
    assert math.sqrt(variance) == pytest.approx(0.02, rel=0.2) and df > 12


def test_a_row_noisier_than_the_others_keeps_its_noise_and_one_alone_its_degrees_of_freedom():
    found = Moderation.of(spreads(2, [0.02] * 10))
    assert found.moderated(RowSpread(0.3**2, 4.0, (), 4), 4.0)[0] == 0.3**2
    [alone] = spreads(3, [0.02])
    assert Moderation.of([alone]).moderated(alone, 4.0) == (alone.variance, 4.0)


def test_rows_of_all_kinds_lend_little():
    uneven = Moderation.of(spreads(4, [0.001 * 3**k for k in range(8)]))
    assert uneven.prior_df < 3 and uneven.moderated(RowSpread(1.0, 4.0, (), 4), 4.0)[1] < 6


@pytest.mark.parametrize(("shared", "low", "high"), [(0.0, 0.0, 0.1), (0.5, 0.1, 0.45), (1.0, 0.999, 1.0)])
def test_luck_that_rows_share_is_seen_and_lends_less(shared, low, high):
    found = Moderation.of(spreads(5, [0.02] * 30, values=12, shared=shared))
    assert low <= found.shared <= high
    if shared == 1.0:
        assert found.moderated(RowSpread(0.02**2, 11.0, (), 11), 11.0)[1] == pytest.approx(11, abs=0.1)


def test_rows_without_any_spread_are_no_error():
    still = [Units("seeds", differences=(0.1,) * 3).spread for _ in range(4)]
    found = Moderation.of(still)
    assert 0 < found.moderated(still[0], 2.0)[0] < 1e-20
    mixed = Moderation.of([*still[:1], *spreads(6, [0.02] * 3, values=3)])
    assert mixed.typical > 1e-6


def sample(values, seeds=None, **more):
    return Sample(tuple(values), labels=tuple(seeds if seeds is not None else range(len(values))), **more)


def test_seeds_that_both_sides_have_are_pairs_in_any_order():
    base, head = sample([0.8, 0.9, 0.7]), sample([0.6, 0.7, 0.8], seeds=(2, 0, 1))
    assert units_of(base, head, TOP1, None).differences == pytest.approx((-0.1, -0.1, -0.1))
    assert units_of(base, head, TOP1, None).source == "seeds"


@pytest.mark.parametrize(
    ("base", "head", "source"),
    [
        (range(5), [0, 1, 2, 4], "seeds"),  # one is missing
        (range(5), range(3), "processes"),
        (range(3), range(3, 6), "processes"),
        ([0, 0, 1], [0, 1, 1], "processes"),  # two sweeps of one side had the same
        ([], [], "processes"),
    ],
)
def test_sides_with_other_seeds_are_not_paired(base, head, source):
    sides = [sample([0.5 + 0.01 * k for k in range(max(3, len(seeds)))], seeds) for seeds in (base, head)]
    assert units_of(*sides, TOP1, None).source == source


def test_a_difference_is_known_to_one_validation_image_at_best():
    base, head = (sample([value] * 3, resolution=0.05) for value in (0.9, 0.85))
    assert units_of(base, head, TOP1, None).spread.variance == 0.05**2
