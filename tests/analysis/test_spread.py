import math

import numpy as np
import pytest
from scipy import stats

from fastbs.analysis.spread import Spread


def runs(rng, sds, seeds, shared=0.0):
    luck = shared * rng.standard_normal(seeds)
    return [{s: 0.9 + luck[s] + sd * rng.standard_normal() for s in range(seeds)} for sd in sds]


def coverage(sds, seeds, *, row=-1, trials=800, shared=0.0):
    """Part of trials in which the interval of row against the first holds the truth, which is 0; mean half width."""
    rng, held, half = np.random.default_rng(1), 0, 0.0
    for _ in range(trials):
        rows = runs(rng, sds, seeds, shared)
        found = Spread.of(rows, 0.0).difference(rows[row], rows[0])
        held += found.low <= 0 <= found.high
        half += (found.high - found.low) / 2 / trials
    return held / trials, half


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("shared", [0.0, 0.02])
def test_settings_that_scatter_alike_have_intervals_that_hold_and_are_nearly_as_short_as_with_a_known_spread(
    seeds, shared
):
    held, half = coverage([0.01] * 7, seeds, shared=shared)
    known = 1.96 * 0.01 * math.sqrt(2 / seeds)
    assert 0.93 <= held <= 0.99
    assert half < {2: 2.2, 3: 1.4, 5: 1.2}[seeds] * known


def test_one_noisy_setting_among_quiet_ones_keeps_its_noise():
    assert coverage([0.01] * 4 + [0.08] + [0.01] * 2, 5, row=4)[0] > 0.9
    assert coverage([0.01] * 4 + [0.08] + [0.01] * 2, 3, row=4)[0] > 0.84


def test_two_settings_alone_have_the_paired_t_interval():
    first, second = {0: 0.90, 1: 0.92, 2: 0.91}, {0: 0.88, 1: 0.91, 2: 0.90}
    found = Spread.of([first, second], 0.0).difference(second, first)
    expected = stats.ttest_rel(list(second.values()), list(first.values())).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_equal_runs_are_known_no_better_than_one_image_resolves():
    same = {0: 0.9, 1: 0.9}
    found = Spread.of([same] * 4, 0.01).difference(same, same)
    assert found.low < -0.005 and found.high > 0.005


def test_one_seed_has_an_estimate_and_no_interval():
    found = Spread.of([{0: 0.9}, {0: 0.8}, {0: 0.7}], 0.0).difference({0: 0.8}, {0: 0.9})
    assert found.estimate == pytest.approx(-0.1) and not found.bounded
    assert Spread().difference({0: 0.8}, {1: 0.9}) is None
